//! Whether the texts of a recipe's tables are pairs, where it does not say so.

use super::Recipe;
use crate::config::Task;
use crate::train::data::{Table, usual_pair};

impl Recipe {
    /// Takes the second texts of tables that have them under their usual names: nothing is passed over in silence. Who names
    /// the column of the text means it alone.
    ///
    /// A table that cannot be opened is left to whoever reads its rows.
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
        if let Some([text, pair]) = usual_pair(|name| names.iter().any(|own| own == name)) {
            data.text = Some(text.to_owned());
            data.pair = Some(pair.to_owned());
        }
        self
    }
}
