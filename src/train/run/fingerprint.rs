//! Fingerprint of a run: a digest of its recipe and of all data that it learns from.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::folder::TRAINING;
use crate::error::{Error, Result};
use crate::train::data::Dataset;
use crate::train::recipe::Recipe;

/// Extensions of a model's files that a run depends on.
const OF_MODELS: [&str; 4] = ["safetensors", "bin", "json", "txt"];

/// A digest of all inputs of a run (XXH3, 128 bits: against mistakes, not against malice).
#[derive(Default)]
pub(crate) struct RunFingerprint(Xxh3);

impl RunFingerprint {
    /// Hashes the rows of a table, of which only the used columns were read.
    pub(crate) fn table(&mut self, table: &Dataset) {
        self.0.update(&table.rows.len().to_le_bytes());
        for row in &table.rows {
            for cell in row.cells() {
                self.bytes(cell.text().as_bytes());
                // A list differs from its items concatenated.
                for item in cell.items().unwrap_or_default() {
                    self.0.update(&item.len().to_le_bytes());
                }
            }
        }
    }

    /// Hashes texts, each separately.
    pub(crate) fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        texts.for_each(|text| self.bytes(text.as_bytes()));
    }

    /// Hashes a model: its packed file, or the files of its folder and subfolders without those of a training.
    ///
    /// # Errors
    /// `Io`, which names the file.
    pub(crate) fn model(&mut self, path: &Path) -> Result<()> {
        if !path.is_dir() {
            return self.file(path);
        }
        for path in entries(path)? {
            let inside = if path.is_dir() && !path.ends_with(TRAINING) {
                entries(&path)?
            } else {
                vec![path]
            };
            for path in inside.into_iter().filter(|path| path.is_file()) {
                let ending = path.extension().and_then(|ending| ending.to_str());
                if ending.is_some_and(|ending| OF_MODELS.contains(&ending)) {
                    self.file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the fingerprint: the recipe and the digest in one line. It does not depend on the output folder, which may be
    /// moved.
    pub(crate) fn with_recipe(&self, recipe: &Recipe) -> String {
        format!("{} {:032x}", recipe.fingerprint(), self.0.digest128())
    }

    /// Hashes bytes after their length, so that no two sequences hash the same bytes.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&bytes.len().to_le_bytes());
        self.0.update(bytes);
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let io = |cause| Error::Io {
            path: path.to_owned(),
            cause,
        };
        let mut file = fs::File::open(path).map_err(io)?;
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece).map_err(io)? {
                0 => break,
                read => self.0.update(&piece[..read]),
            }
        }
        let name = path.file_name().unwrap_or_default();
        self.bytes(name.as_encoded_bytes());
        Ok(())
    }
}

/// Lists a folder in the order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |cause| Error::Io {
        path: folder.to_owned(),
        cause,
    };
    let entries = fs::read_dir(folder).map_err(io)?;
    let paths: std::io::Result<Vec<PathBuf>> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths.map_err(io)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::{Cell, TextRow};

    fn digest(fill: impl FnOnce(&mut RunFingerprint)) -> u128 {
        let mut fingerprint = RunFingerprint::default();
        fill(&mut fingerprint);
        fingerprint.0.digest128()
    }

    fn table(rows: &[&[&str]]) -> u128 {
        let row = |cells: &&[&str]| TextRow {
            text: cells[0].into(),
            pair: Some(cells[1].into()),
            ..TextRow::default()
        };
        let rows = rows.iter().map(row).collect();
        let file = String::new();
        digest(|fingerprint| fingerprint.table(&Dataset { file, rows }))
    }

    #[test]
    fn every_cell_counts_and_where_it_ends() {
        let one = table(&[&["ab", "c"]]);
        assert_eq!(one, table(&[&["ab", "c"]]));
        for other in [&["a", "bc"][..], &["ab", "d"], &["abc", ""], &["c", "ab"]] {
            assert_ne!(one, table(&[other]), "{other:?}");
        }
        assert_ne!(one, table(&[&["ab", "c"], &["ab", "c"]]));
        let list = |items: &[&str]| {
            let row = TextRow {
                text: Cell::list(items),
                ..TextRow::default()
            };
            let (file, rows) = (String::new(), vec![row]);
            digest(|fingerprint| fingerprint.table(&Dataset { file, rows }))
        };
        assert_ne!(list(&["ab", "c"]), list(&["ab c"]));
        // Tables that split the same rows elsewhere differ.
        let row = |cell: &str| TextRow {
            text: cell.into(),
            ..TextRow::default()
        };
        let split = |at: usize| {
            let mut rows = ["a", "b", "c"].map(row).to_vec();
            let rest = rows.split_off(at);
            digest(|fingerprint| {
                for rows in [rows, rest] {
                    let file = String::new();
                    fingerprint.table(&Dataset { file, rows });
                }
            })
        };
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn of_a_folder_the_files_of_the_model_count() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &str| fs::write(dir.path().join(name), content).unwrap();
        let now = || digest(|fingerprint| fingerprint.model(dir.path()).unwrap());
        fs::create_dir(dir.path().join("training")).unwrap();
        fs::create_dir(dir.path().join("1_Pooling")).unwrap();
        put("model.safetensors", "1");
        let first = now();
        put("README.md", "not a part of it");
        put("training/state.safetensors", "nor this");
        assert_eq!(now(), first);
        put("1_Pooling/config.json", "{}");
        let second = now();
        assert_ne!(second, first);
        put("model.safetensors", "2");
        assert_ne!(now(), second);
        let file = dir.path().join("model.safetensors");
        assert_ne!(
            digest(|fingerprint| fingerprint.model(&file).unwrap()),
            digest(|_| ())
        );
        assert!(
            RunFingerprint::default()
                .model(&dir.path().join("none"))
                .is_err()
        );
    }

    #[test]
    fn runs_of_before_keys_were_renamed_are_the_same_runs() {
        let read = |text: &str, task: &str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("r.toml");
            fs::write(&path, text).unwrap();
            let task = [("task".to_owned(), task.to_owned())];
            Recipe::read(Some(&path), &task).unwrap()
        };
        let files = "model = 'm'\noutput = 'o'\ndata.train = 't'\n";
        let former = "[training]\nbatch = 8\naccumulate = 2\nrate = 3e-5\ndecay = 0.02\nwarmup = 0.2\nclip = 2.0\n\
                      smoothing = 0.1\nweights = [1, 2]\nmeasure-every = 30\npatience = 4\nsave-every = 60\n\
                      log-every = 10\n[student]\nleast = 5\n";
        let current = "[training]\nbatch-size = 8\nmicro-batches = 2\nlearning-rate = 3e-5\nweight-decay = 0.02\n\
                       warmup-ratio = 0.2\nmax-grad-norm = 2.0\nlabel-smoothing = 0.1\nclass-weights = [1, 2]\n\
                       eval-steps = 30\nearly-stopping-patience = 4\nsave-steps = 60\nlogging-steps = 10\n\
                       [student]\nmin-count = 5\n";
        for (former_task, task) in [
            ("tokens", "token-classification"),
            ("questions", "question-answering"),
            ("ranking", "multiple-negatives"),
        ] {
            // What a state saved before the keys were renamed holds.
            let saved = format!(
                r#"{{"model":"m","output":"","task":"{former_task}","data":{{"train":[{{"file":"t"}}],"dev":[],"#
            ) + r#""scale":1.0,"balance":false},"training":{"epochs":3,"batch":8,"accumulate":2,"rate":0.00003,"#
                + r#""decay":0.02,"warmup":0.2,"clip":2.0,"dropout":0.1,"seed":1,"smoothing":0.1,"weights":[1.0,2.0],"#
                + r#""measure-every":30,"patience":4,"save-every":60,"log-every":10},"student":{"least":5}}"#
                + " 99aa06d3014798d86001c324468d497f";
            for recipe in [
                read(&[files, former].concat(), former_task),
                read(&[files, current].concat(), task),
            ] {
                assert_eq!(RunFingerprint::default().with_recipe(&recipe), saved);
            }
        }
    }
}
