//! Reading of recipes: a TOML file, and settings that override its keys.

use std::path::Path;

use toml::{Table, Value};

use super::{Recipe, renamed};
use crate::error::{Error, Result};

/// Name of the settings' source in errors.
const COMMAND_LINE: &str = "the command line";

/// Keys of tables, by section. Their values are lists of sources.
const SOURCES: [(&str, &str); 4] = [
    ("data", "train"),
    ("data", "unlabelled"),
    ("data", "dev"),
    ("student", "vocabulary"),
];

impl Recipe {
    /// Reads a recipe from `file`, if there is one, and overrides its keys with `settings`. A setting is a dotted key such as
    /// `training.learning-rate` and a TOML value; a text may stand without quotes.
    ///
    /// # Errors
    /// `Io` if the file cannot be read; `Recipe` for invalid TOML, unknown keys and values of the wrong type; `Config`, which
    /// names the key, for values out of range and for a key that is given by its current and its former name.
    pub fn read(file: Option<&Path>, settings: &[(String, String)]) -> Result<Self> {
        let name = file.map_or(COMMAND_LINE.to_owned(), |path| path.display().to_string());
        let mut table = file.map_or(Ok(Table::new()), |path| parse(path, &name))?;
        let mut notes = Vec::new();
        renamed::rename(&mut table, &name, &mut notes)?;
        apply(settings, &mut table, &mut notes)?;
        for (section, key) in SOURCES {
            let section = table.get_mut(section).and_then(Value::as_table_mut);
            if let Some(value) = section.and_then(|section| section.get_mut(key)) {
                *value = sources(std::mem::replace(value, Value::Boolean(false)));
            }
        }
        if !table.contains_key("model") {
            let teacher = table.get("distillation").and_then(|it| it.get("teacher"));
            if let Some(teacher) = teacher.cloned() {
                table.insert("model".to_owned(), teacher);
            }
        }
        let recipe: Result<Self, toml::de::Error> = table.try_into();
        let mut recipe = recipe.map_err(|error| {
            let reason = error.to_string();
            let words: Vec<&str> = reason.split_whitespace().collect();
            Error::Recipe {
                file: name.clone(),
                reason: words.join(" "),
            }
        })?;
        recipe.check(&name)?;
        recipe.notes = notes;
        Ok(recipe.with_usual_pair())
    }
}

/// Parses a TOML file, which errors call `name`.
fn parse(path: &Path, name: &str) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|cause| Error::Io {
        path: path.to_owned(),
        cause,
    })?;
    text.parse::<Table>().map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text[..start].matches('\n').count() + 1;
        Error::Recipe {
            file: name.to_owned(),
            reason: format!("line {line}: {}", error.message()),
        }
    })
}

/// Overrides the keys of a table, which have their current names, with settings. Adds a note about each former name.
fn apply(settings: &[(String, String)], table: &mut Table, notes: &mut Vec<String>) -> Result<()> {
    // The settings by themselves must not give a key by both names, either. The file's key may have another name than theirs.
    let mut given = Table::new();
    for (key, value) in settings {
        for (table, key) in [(&mut given, key), (table, &renamed::current_key(key))] {
            put(table, key, value).map_err(|reason| Error::Config {
                file: COMMAND_LINE.to_owned(),
                key: key.clone(),
                reason,
            })?;
        }
    }
    renamed::rename(&mut given, COMMAND_LINE, notes)?;
    renamed::rename(table, COMMAND_LINE, notes)
}

/// Sets the value of a dotted key such as `training.learning-rate`.
fn put(table: &mut Table, key: &str, value: &str) -> Result<(), String> {
    let Some((first, rest)) = key.split_once('.') else {
        let parsed = format!("value = {value}").parse::<Table>();
        let parsed = parsed.ok().and_then(|mut parsed| parsed.remove("value"));
        let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    let section = table
        .entry(first)
        .or_insert_with(|| Value::Table(Table::new()));
    let section = section
        .as_table_mut()
        .ok_or_else(|| format!("{first} has no keys"))?;
    put(section, rest, value)
}

/// Normalizes the value of a table key to a list of tables: a single entry becomes a list of one, and a bare path becomes a
/// table with only `file`.
fn sources(value: Value) -> Value {
    let table = |value| match value {
        Value::String(_) => Value::Table(Table::from_iter([("file".to_owned(), value)])),
        other => other,
    };
    match value {
        Value::Array(values) => Value::Array(values.into_iter().map(table).collect()),
        one => Value::Array(vec![table(one)]),
    }
}
