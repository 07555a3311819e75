//! Loader of the function's model.

use bertless::{Input, Model, Task};

use crate::Error;
use crate::settings::Settings;

/// Opens the model that is embedded in the program.
#[cfg(feature = "embedded")]
pub(crate) fn open(_: &Settings) -> Result<Model, Error> {
    Ok(Model::from_bytes(bertless::include_model!(env!(
        "BERTLESS_EMBED"
    )))?)
}

/// Opens the file or folder that the settings name, else `model.safetensors` in the function's package.
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

/// Makes one prediction and drops the answer, so that memory is allocated and weights are in the caches.
///
/// # Errors
/// An error of `Model::predict`: a model that cannot answer this input cannot answer any.
pub(crate) fn warm(model: &Model) -> bertless::Result<()> {
    let input = match model.task() {
        Task::QuestionAnswering => Input::Pair("Is it warm?", "It is warm."),
        Task::FillMask => Input::Text(model.tokenizer().mask_token()),
        _ => Input::Text("It is warm."),
    };
    model.predict(input).map(drop)
}
