//! Repair of JSON text whose strings hold half a surrogate pair. Knows JSON's escapes and nothing else of JSON.

use std::borrow::Cow;

/// Replaces each lone surrogate escape in `json` by `\ufffd`, the replacement character.
///
/// Programs that count in UTF-16 (JavaScript, Java) can cut an emoji in two. Their JSON then holds half a surrogate pair, such as
/// `\ud83d` alone, which no Rust string can represent, so that a parser refuses the whole document. A browser that encodes
/// such a string as UTF-8 writes U+FFFD in its place. Call this function before parsing to do the same: only the string
/// with the half pair changes.
///
/// The input need not be valid JSON. Whole pairs, and a backslash that is itself escaped (`\\ud83d`), stay as they are.
/// Text without a lone surrogate is returned borrowed.
///
/// ```
/// let json = r#"["good", "cut \ud83d", "whole \ud83d\ude00"]"#;
/// let mended = bertless::replace_lone_surrogates(json);
/// assert_eq!(mended, r#"["good", "cut \ufffd", "whole \ud83d\ude00"]"#);
/// ```
#[must_use]
pub fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut mended = String::new();
    // Everything before `copied` is in `mended`.
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        let Some(unit) = escaped_unit(&bytes[at..]) else {
            // An escape of two characters. Beyond ASCII the second is no escape; the search goes on at its first byte.
            at += if bytes.get(at + 1).is_some_and(u8::is_ascii) {
                2
            } else {
                1
            };
            continue;
        };
        let next = at + ESCAPE;
        match unit {
            0xd800..=0xdbff if matches!(escaped_unit(&bytes[next..]), Some(0xdc00..=0xdfff)) => {
                at = next + ESCAPE;
            }
            0xd800..=0xdfff => {
                mended.push_str(&json[copied..at]);
                mended.push_str(r"\ufffd");
                at = next;
                copied = next;
            }
            _ => at = next,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    mended.push_str(&json[copied..]);
    Cow::Owned(mended)
}

/// Length in bytes of an escape such as `\ud83d`.
const ESCAPE: usize = 6;

/// Parses the UTF-16 code unit of an escape `\uXXXX` at the start of `text`.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.get(..ESCAPE)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |unit, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(unit << 4 | digit as u16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> String {
        serde_json::from_str(&replace_lone_surrogates(json)).expect("JSON")
    }

    #[test]
    fn halves_of_pairs_become_the_replacement_character() {
        assert_eq!(parsed(r#""a \ud83d""#), "a \u{fffd}");
        assert_eq!(parsed(r#""\uD83D b""#), "\u{fffd} b");
        assert_eq!(parsed(r#""\ude00 b""#), "\u{fffd} b");
        // Two first halves, two second halves, a pair in the wrong order: each half by itself.
        assert_eq!(parsed(r#""\ud83d\ud83d""#), "\u{fffd}\u{fffd}");
        assert_eq!(parsed(r#""\ude00\ude00""#), "\u{fffd}\u{fffd}");
        assert_eq!(parsed(r#""\ude00\ud83d""#), "\u{fffd}\u{fffd}");
        // The half before a whole pair, and before another escape.
        assert_eq!(parsed(r#""\ud83d\ud83d\ude00""#), "\u{fffd}\u{1f600}");
        assert_eq!(parsed(r#""\ud83d\u0041\n""#), "\u{fffd}A\n");
    }

    #[test]
    fn everything_else_stays_and_is_not_copied() {
        for json in [
            "",
            r#"{"text": "plain"}"#,
            r#""whole \ud83d\ude00 pair""#,
            r#""an escaped backslash \\ud83d""#,
            r#""é\" \\\\ud83d \u00e9""#,
            // Not JSON: the parser says so.
            "\\",
            r"\u",
            r"\ud8",
            r"\ud8é0",
            "\\é\\",
        ] {
            assert!(matches!(replace_lone_surrogates(json), Cow::Borrowed(same) if same == json));
        }
        assert_eq!(replace_lone_surrogates(r"\\\ud83d"), r"\\\ufffd");
    }
}
