//! Whether standard input and standard output were closed when this process was started.
//!
//! Before `main`, Rust's runtime opens `/dev/null` in place of a closed standard stream, so that output is lost without an
//! error. This module looks at the streams before the runtime does that. Elsewhere than on Linux, and without `/proc`, streams
//! count as open.

use std::sync::atomic::{AtomicBool, Ordering};

/// Standard input and standard output, by their descriptors.
static CLOSED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// Whether nothing can be read from standard input.
pub(crate) fn stdin() -> bool {
    CLOSED[0].load(Ordering::Relaxed)
}

/// Whether nothing can be written to standard output.
pub(crate) fn stdout() -> bool {
    CLOSED[1].load(Ordering::Relaxed)
}

/// Calls [`look`] when the program is loaded, as initialisers of C++ are called.
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the section holds functions to call at start-up, and `look` is one: it has the C ABI and needs nothing that \
              `main` would set up"
)]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

#[cfg(target_os = "linux")]
extern "C" fn look() {
    use std::fs;

    let descriptor = |number: usize| fs::symlink_metadata(format!("/proc/self/fd/{number}"));
    let has_proc = fs::symlink_metadata("/proc/self/fd").is_ok();
    // All of them ahead of `fdinfo`, whose own descriptor takes the number of a closed one.
    let open = [0, 1].map(|number| descriptor(number).is_ok());
    for (number, closed) in CLOSED.iter().enumerate() {
        let usable = if open[number] {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
            opens_to(&info.unwrap_or_default()).is_none_or(|way| way[number])
        } else {
            !has_proc
        };
        closed.store(!usable, Ordering::Relaxed);
    }
}

/// Whether a descriptor can be read from and written to, by its `/proc/self/fdinfo`.
#[cfg(target_os = "linux")]
fn opens_to(info: &str) -> Option<[bool; 2]> {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
    Some([flags & 3 != 1, flags & 3 != 0])
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn flags_say_which_way_a_descriptor_opens() {
        let way = |flags: &str| opens_to(&format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t7\n"));
        assert_eq!(way("0100000"), Some([true, false]));
        assert_eq!(way("0100001"), Some([false, true]));
        assert_eq!(way("0102002"), Some([true, true]));
        assert_eq!(way("?"), None);
        assert_eq!(opens_to(""), None);
    }
}
