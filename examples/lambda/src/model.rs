//! Which model, and from where.

use bertless::{Input, Model, Task};

use crate::Error;
use crate::settings::Settings;

/// Opens the model that is part of the program.
#[cfg(feature = "embedded")]
pub(crate) fn open(_: &Settings) -> Result<Model, Error> {
    Ok(Model::from_static(bertless::include_model!(env!(
        "BERTLESS_EMBED"
    )))?)
}

/// Opens the file or folder that is chosen, else `model.safetensors` in the function's package.
#[cfg(not(feature = "embedded"))]
pub(crate) fn open(settings: &Settings) -> Result<Model, Error> {
    use std::path::PathBuf;

    let path = match (&settings.model, std::env::var_os("LAMBDA_TASK_ROOT")) {
        (Some(path), _) => path.clone(),
        (None, Some(package)) => PathBuf::from(package).join("model.safetensors"),
        (None, None) => std::env::current_exe()?.with_file_name("model.safetensors"),
    };
    Ok(Model::load(path)?)
}

/// One prediction, whose answer nobody reads.
///
/// # Errors
/// As `Model::predict`: a model that cannot answer this cannot answer at all.
pub(crate) fn warm(model: &Model) -> bertless::Result<()> {
    let input = match model.task() {
        Task::QuestionAnswering => Input::Pair("Is it warm?", "It is warm."),
        Task::FillMask => Input::Text(model.tokenizer().mask_token()),
        _ => Input::Text("It is warm."),
    };
    model.predict(input).map(drop)
}
