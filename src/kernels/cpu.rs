//! Which instructions this processor has, and how a kernel is run on them.

use std::fmt;

/// A set of instructions that this processor is known to have.
///
/// A value can only come from [`Cpu::detect`], [`Cpu::supported`] or [`Cpu::from_name`], which ask the processor; so
/// whoever holds one may run code that needs those instructions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpu(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

/// Every level's name, best first; the names that [`Cpu::from_name`] takes.
pub(crate) const NAMES: [&str; 2] = ["avx2", "portable"];

impl Cpu {
    /// The best that this processor has.
    pub(crate) fn detect() -> Self {
        // The standard library asks the processor once and remembers.
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Self(Level::Avx2);
        }
        Self(Level::Portable)
    }

    /// All that this processor has, best first; for suites that run on each.
    #[cfg(test)]
    pub(crate) fn supported() -> Vec<Self> {
        NAMES
            .iter()
            .filter_map(|name| Self::from_name(name))
            .collect()
    }

    /// The level of this name, if this processor has it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "portable" => Some(Self(Level::Portable)),
            // AVX2 is the top of today's list, so the processor has it exactly if it is the best it has.
            "avx2" => Some(Self::detect()).filter(|cpu| cpu.name() == "avx2"),
            _ => None,
        }
    }

    /// The name of this level.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
        }
    }

    /// Runs a kernel, compiled for this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run::<Separate>(),
            #[cfg(target_arch = "x86_64")]
            #[allow(
                unsafe_code,
                reason = "entering code for instructions found at run time"
            )]
            // SAFETY: a `Cpu` of this level only comes from `detect`, which found AVX2 and FMA on this processor, and
            // a processor does not lose instructions while a program runs.
            Level::Avx2 => unsafe { run_avx2(kernel) },
        }
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Fused>()
}

/// A loop nest that is compiled once for each instruction set.
///
/// `run` must be `#[inline(always)]`, and so must everything hot that it calls: what is inlined into the level's entry
/// is compiled with the level's instructions, what is not is compiled for the oldest processor.
pub(crate) trait Kernel {
    /// What comes out.
    type Output;

    /// The work.
    fn run<A: Arithmetic>(self) -> Self::Output;
}

/// The one operation that instruction sets differ in: a product and a sum, rounded once or twice.
pub(crate) trait Arithmetic: Copy {
    /// `a * b + c`.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// Rounded once, by an instruction of its own.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Fused;

#[cfg(target_arch = "x86_64")]
impl Arithmetic for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Rounded twice. Without the instruction a fused product is a library call, and slow.
#[derive(Clone, Copy)]
struct Separate;

impl Arithmetic for Separate {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_comes_first_and_portable_is_always_there() {
        let supported = Cpu::supported();
        assert_eq!(supported.first(), Some(&Cpu::detect()));
        assert_eq!(supported.last().map(|cpu| cpu.name()), Some("portable"));
    }

    #[test]
    fn names_find_their_levels() {
        for cpu in Cpu::supported() {
            assert_eq!(Cpu::from_name(cpu.name()), Some(cpu));
        }
        assert_eq!(Cpu::from_name("mmx"), None);
    }
}
