//! Detection of text pairs in a recipe's tables, where the recipe does not name the columns.

use super::Recipe;
use crate::config::Task;
use crate::train::data::{Table, usual_pair};

impl Recipe {
    /// Sets the second text's column if the tables have a usual pair of columns, so that no second text is ignored silently. A
    /// recipe that names only the text column keeps its single texts.
    ///
    /// A table that cannot be opened is skipped here; reading its rows reports the error.
    pub(super) fn with_usual_pair(mut self) -> Self {
        let may_have_pairs = self.task.spec().model_task == Task::Classification;
        let data = &mut self.data;
        let Some(first) = data.train.iter().chain(&data.unlabelled).next() else {
            return self;
        };
        let named = [&data.text, &data.pair, &first.text, &first.pair];
        if !may_have_pairs || first.sentences || named.into_iter().any(Option::is_some) {
            return self;
        }
        let names = Table::names(&first.file).unwrap_or_default();
        if let Some([text, pair]) = usual_pair(|name| names.iter().any(|column| column == name)) {
            data.text = Some(text.to_owned());
            data.pair = Some(pair.to_owned());
        }
        self
    }
}
