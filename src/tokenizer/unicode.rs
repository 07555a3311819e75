//! Character properties that tokenization uses.

use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

use super::tables::{CHINESE, CLASSLESS, LOWER, MARKS, PUNCTUATION, REMOVED, Ranges, UNDECOMPOSED};

fn contains(ranges: &Ranges, c: char) -> bool {
    let c = u32::from(c);
    let after = ranges.partition_point(|&(first, _)| first <= c);
    after > 0 && c <= ranges[after - 1].1
}

/// Whether cleaning removes the character: controls except tab and line ends, formats, private use, the replacement
/// character.
pub(super) fn is_removed(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        _ if c.is_ascii() => c.is_ascii_control(),
        _ => contains(REMOVED, c),
    }
}

/// Whether the character is punctuation, which is always a word of its own.
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_punctuation()
    } else {
        contains(PUNCTUATION, c)
    }
}

/// Whether the character is an ideograph that gets a space on both sides.
pub(super) fn is_chinese(c: char) -> bool {
    u32::from(c) >= CHINESE[0].0 && contains(CHINESE, c)
}

/// Whether stripping accents removes the character.
pub(super) fn is_mark(c: char) -> bool {
    u32::from(c) >= MARKS[0].0 && contains(MARKS, c)
}

/// Whether the character is part of a word, next to which an added token with `single_word` does not match.
pub(super) fn is_word(c: char) -> bool {
    let joins = matches!(
        c,
        '_' | '\u{200C}' | '\u{200D}' | '\u{203F}' | '\u{2040}' | '\u{2054}'
    );
    c.is_alphanumeric() || joins || is_mark(c)
}

/// Calls `emit` with each character of the lower-case form of `c`.
pub(super) fn lower(c: char, mut emit: impl FnMut(char)) {
    if c.is_ascii() {
        return emit(c.to_ascii_lowercase());
    }
    if c == '\u{130}' {
        emit('i');
        return emit('\u{307}');
    }
    let code = u32::from(c);
    let after = LOWER.partition_point(|&(first, ..)| first <= code);
    // Runs may interleave: where upper and lower case alternate, two runs may alternate, too.
    let moved = LOWER[after.saturating_sub(4)..after]
        .iter()
        .rev()
        .find(|&&(first, last, step, _)| code <= last && (code - first).is_multiple_of(step))
        .and_then(|&(.., by)| char::from_u32(code.wrapping_add_signed(by)));
    emit(moved.unwrap_or(c));
}

/// Calls `emit` with each character of the canonical decomposition of `c`.
pub(super) fn decompose(c: char, mut emit: impl FnMut(char)) {
    if u32::from(c) < 0xC0 || contains(UNDECOMPOSED, c) {
        emit(c);
    } else {
        decompose_canonical(c, emit);
    }
}

/// Canonical combining class of the character; 0 for those that canonical ordering does not move.
pub(super) fn combining_class(c: char) -> u8 {
    if u32::from(c) < MARKS[0].0 {
        return 0;
    }
    match canonical_combining_class(c) {
        0 => 0,
        _ if contains(CLASSLESS, c) => 0,
        class => class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(each: impl Fn(&mut dyn FnMut(char))) -> String {
        let mut out = String::new();
        each(&mut |c| out.push(c));
        out
    }

    #[test]
    fn ranges_are_in_order() {
        for ranges in [
            REMOVED,
            PUNCTUATION,
            CHINESE,
            MARKS,
            UNDECOMPOSED,
            CLASSLESS,
        ] {
            assert!(ranges.iter().all(|(first, last)| first <= last));
            assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        assert!(LOWER.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_letter_s_lower_case_is_found_wherever_it_stands_in_its_run() {
        for (first, last, step, by) in LOWER {
            for code in (*first..=*last).step_by(*step as usize) {
                let c = char::from_u32(code).unwrap();
                let expected = char::from_u32(code.wrapping_add_signed(*by)).unwrap();
                assert_eq!(
                    collect(|emit| lower(c, emit)),
                    expected.to_string(),
                    "{c:?}"
                );
            }
        }
        assert_eq!(collect(|emit| lower('\u{130}', emit)), "i\u{307}");
        assert_eq!(collect(|emit| lower('ß', emit)), "ß");
    }

    #[test]
    fn decompositions() {
        assert_eq!(collect(|emit| decompose('é', emit)), "e\u{301}");
        assert_eq!(
            collect(|emit| decompose('각', emit)),
            "\u{1100}\u{1161}\u{11A8}"
        );
        assert_eq!(collect(|emit| decompose('\u{11938}', emit)), "\u{11938}");
        assert_eq!(
            (combining_class('\u{301}'), combining_class('\u{323}')),
            (230, 220)
        );
        for &(first, last) in CLASSLESS {
            for c in (first..=last).filter_map(char::from_u32) {
                assert_eq!(combining_class(c), 0, "{c:?}");
            }
        }
    }
}
