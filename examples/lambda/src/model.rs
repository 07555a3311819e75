//! Which model, and from where.

use bertless::{Input, Model, Task};
use lambda_runtime::Error;

/// Opens the model that is part of the program.
#[cfg(feature = "embedded")]
pub fn open() -> Result<Model, Error> {
    Ok(Model::from_static(bertless::include_model!(env!(
        "BERTLESS_EMBED"
    )))?)
}

/// Opens the file or folder that `BERTLESS_MODEL` names, else `model.safetensors` in the function's package, which is the
/// folder of this program.
#[cfg(not(feature = "embedded"))]
pub fn open() -> Result<Model, Error> {
    use std::path::{Path, PathBuf};

    let path = match std::env::var_os("BERTLESS_MODEL") {
        Some(path) => PathBuf::from(path),
        None => {
            let program = std::env::current_exe()?;
            let package = program.parent().unwrap_or(Path::new("."));
            package.join("model.safetensors")
        }
    };
    // SAFETY: a function's package lies on a read-only disk, so that nothing in it changes while this process runs.
    #[allow(
        unsafe_code,
        reason = "the promise that mapping asks for can only be made here"
    )]
    let promise = unsafe { bertless::MapContract::files_stay_unchanged() };
    let options = bertless::ModelOptions::new().map(promise);
    Ok(Model::load_with(path, options)?)
}

/// One prediction, whose answer nobody reads.
///
/// # Errors
/// As `Model::predict`: a model that cannot answer this cannot answer at all.
pub fn warm(model: &Model) -> bertless::Result<()> {
    let mask = model.tokenizer().mask_token();
    let input = match model.task() {
        Task::QuestionAnswering => Input::Pair("Is it warm?", "It is warm."),
        Task::FillMask => Input::Text(mask),
        _ => Input::Text("It is warm."),
    };
    model.predict(input).map(drop)
}
