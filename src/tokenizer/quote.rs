//! Shortens what errors and warnings quote from files, so that a message fits a line.

/// Maximum number of bytes of a file that an error quotes.
const QUOTED: usize = 200;

/// Cuts a quotation to [`QUOTED`] bytes.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= QUOTED {
        return text.to_owned();
    }
    let end = (0..=QUOTED).rev().find(|&end| text.is_char_boundary(end));
    format!("{}…", &text[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_cut_between_characters() {
        assert_eq!(cut("é"), "é");
        let long = cut(&format!("a{}", "é".repeat(500)));
        assert!(long.len() <= QUOTED + '…'.len_utf8() && long.ends_with('…'));
    }
}
