//! Normalisation of a text before it is cut into words. Keeps the position of each character in the original text.
//!
//! The steps and their order are those of `BertNormalizer` in Hugging Face's `tokenizers`: clean, put spaces around
//! ideographs, strip accents, lower-case. Positions are tracked as in the reference: where marks are reordered
//! canonically, positions stay in the order of the text.

pub(super) mod char_cache;

use super::unicode;

/// Steps of normalisation that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Normalizer {
    /// Lower-case before all other steps.
    pub(super) lower_first: bool,
    /// Remove controls, and make each white space a space.
    pub(super) clean: bool,
    /// Put a space on both sides of an ideograph.
    pub(super) chinese: bool,
    /// Decompose and remove marks; `None` follows `lower`.
    pub(super) strip_accents: Option<bool>,
    /// Lower-case.
    pub(super) lower: bool,
}

impl Normalizer {
    /// No step at all.
    pub(super) const NONE: Self = Self {
        lower_first: false,
        clean: false,
        chinese: false,
        strip_accents: Some(false),
        lower: false,
    };

    /// Whether accents are stripped.
    pub(super) fn strips(&self) -> bool {
        self.strip_accents.unwrap_or(self.lower)
    }

    /// Whether letters are lower-cased.
    pub(super) fn lowers(&self) -> bool {
        self.lower_first || self.lower
    }
}

/// A character after normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NormalizedChar {
    pub(super) c: char,
    /// First byte of the original text that the character stands for; `end` is one past the last.
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Calls `emit` with the characters of the normalised `text`. `offset` is the position of `text` in the whole text.
pub(super) fn normalize(
    normalizer: &Normalizer,
    text: &str,
    offset: u32,
    emit: impl FnMut(NormalizedChar),
) {
    let mut stage = Stage {
        normalizer,
        strip: normalizer.strips(),
        marks: Marks::default(),
        emit,
    };
    for (start, c) in text.char_indices() {
        let start = offset + start as u32;
        let end = start + c.len_utf8() as u32;
        if normalizer.lower_first {
            unicode::lower(c, |c| stage.clean(NormalizedChar { c, start, end }));
        } else {
            stage.clean(NormalizedChar { c, start, end });
        }
    }
    stage.flush();
}

struct Stage<'a, E> {
    normalizer: &'a Normalizer,
    strip: bool,
    marks: Marks,
    emit: E,
}

impl<E: FnMut(NormalizedChar)> Stage<'_, E> {
    fn clean(&mut self, unit: NormalizedChar) {
        if !self.normalizer.clean {
            return self.space(unit);
        }
        if unicode::is_removed(unit.c) {
            return;
        }
        let c = if unit.c.is_whitespace() { ' ' } else { unit.c };
        self.space(NormalizedChar { c, ..unit });
    }

    fn space(&mut self, unit: NormalizedChar) {
        if self.normalizer.chinese && unicode::is_chinese(unit.c) {
            let space = NormalizedChar { c: ' ', ..unit };
            self.strip(space);
            self.strip(unit);
            self.strip(space);
        } else {
            self.strip(unit);
        }
    }

    fn strip(&mut self, unit: NormalizedChar) {
        if !self.strip {
            return self.lower(unit);
        }
        if unit.c.is_ascii() {
            // The common case: nothing to decompose or to reorder.
            self.flush();
            return self.lower(unit);
        }
        // A mark with a combining class may move ahead of pending marks; any other character flushes them.
        let mut first = true;
        unicode::decompose(unit.c, |c| {
            let class = unicode::combining_class(c);
            if class == 0 {
                self.flush();
            }
            if std::mem::take(&mut first) {
                self.marks.spans.push((unit.start, unit.end));
                self.marks.push(c, class, false);
            } else {
                self.marks.push(c, class, true);
            }
        });
    }

    /// Emits the pending characters in canonical order, without the marks that are stripped.
    fn flush(&mut self) {
        if self.marks.is_empty() {
            return;
        }
        let mut marks = std::mem::take(&mut self.marks);
        marks.sort();
        for index in 0..marks.waiting.len() {
            let (c, _, added) = marks.waiting[index];
            let (start, end) = marks.next_place(added);
            if !unicode::is_mark(c) {
                self.lower(NormalizedChar { c, start, end });
            }
        }
        marks.forget();
        self.marks = marks;
    }

    fn lower(&mut self, unit: NormalizedChar) {
        if self.normalizer.lower {
            unicode::lower(unit.c, |c| (self.emit)(NormalizedChar { c, ..unit }));
        } else {
            (self.emit)(unit);
        }
    }
}

/// Pending character and the marks that follow it, until no more marks can follow.
#[derive(Default)]
struct Marks {
    /// Character, combining class, and whether a decomposition added it.
    waiting: Vec<(char, u8, bool)>,
    /// Byte ranges of the decomposed characters, in the order of the text.
    spans: Vec<(u32, u32)>,
    /// Number of ranges that are used already.
    taken: usize,
    /// Range that was used last.
    last: (u32, u32),
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn push(&mut self, c: char, class: u8, added: bool) {
        self.waiting.push((c, class, added));
    }

    fn sort(&mut self) {
        for run in self.waiting.chunk_by_mut(|a, b| a.1 != 0 && b.1 != 0) {
            run.sort_by_key(|&(_, class, _)| class);
        }
    }

    /// Range of the next character; a character that a decomposition added shares the range of the one before it.
    fn next_place(&mut self, added: bool) -> (u32, u32) {
        if !added {
            self.last = self.spans[self.taken];
            self.taken += 1;
        }
        self.last
    }

    /// Clears the pending characters, but keeps the last range and the allocations.
    fn forget(&mut self) {
        self.waiting.clear();
        self.spans.drain(..self.taken);
        self.taken = 0;
    }
}
