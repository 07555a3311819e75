//! The state of a run on disk, from which it resumes as if it had not been interrupted.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use crate::error::{Error, Result};
use crate::train::atomic::{replace_tensors, view};
use crate::train::model::parameters::Parameters;

/// Key of the progress in the file's metadata.
const PROGRESS: &str = "progress";

/// Progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedProgress {
    /// Fingerprint of the run. The state of another run cannot be used.
    pub(crate) run: String,
    /// Number of steps taken.
    pub(crate) step: u64,
    /// Number of completed epochs.
    pub(crate) epoch: u64,
    /// Number of completed batches in the current epoch.
    pub(crate) batch: u64,
    /// Best value of the deciding metric so far, and the step of its evaluation.
    pub(crate) best: Option<(Exact, u64)>,
    /// Number of evaluations since the best one.
    pub(crate) worse: u64,
    /// Sum and number of the losses since the last log record.
    pub(crate) losses: (Exact, u64),
    /// Length of the log in bytes.
    pub(crate) log: u64,
    /// Whether the run is completed.
    pub(crate) over: bool,
}

/// A float that is serialized by its bits, so that it is read back exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub(crate) struct Exact(pub(crate) f64);

impl From<u64> for Exact {
    fn from(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }
}

impl From<Exact> for u64 {
    fn from(number: Exact) -> Self {
        number.0.to_bits()
    }
}

/// Writes the state of a run: parameters, moments and progress.
///
/// # Errors
/// `Io`, which names the file.
pub(crate) fn save(
    path: &Path,
    parameters: &Parameters,
    adamw: &AdamW,
    progress: &SavedProgress,
) -> Result<()> {
    let all = parameters.iter().zip(&adamw.moments);
    let tensors = all.flat_map(|(parameter, moments)| {
        [
            ("", &parameter.values),
            ("first ", &moments.first),
            ("second ", &moments.second),
        ]
        .map(|(prefix, values)| {
            (
                format!("{prefix}{}", parameter.name),
                view(&parameter.shape, values),
            )
        })
    });
    let progress = serde_json::to_string(progress).unwrap_or_default();
    replace_tensors(path, tensors, PROGRESS, progress)
}

/// Writes the state of a completed run, which needs no parameters or moments.
///
/// # Errors
/// `Io`, which names the file.
pub(crate) fn save_over(path: &Path, progress: &SavedProgress) -> Result<()> {
    let progress = serde_json::to_string(progress).unwrap_or_default();
    replace_tensors(path, std::iter::empty(), PROGRESS, progress)
}

/// Reads the state of a run into parameters and moments. Returns `None` if there is no state.
///
/// # Errors
/// `Io`; `State` for a file that is not a state, belongs to another run, or has other parameters.
pub(crate) fn load(
    path: &Path,
    run: &str,
    parameters: &mut Parameters,
    adamw: &mut AdamW,
) -> Result<Option<SavedProgress>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io {
                path: path.to_owned(),
                cause: source,
            });
        }
    };
    let wrong = |reason: String| Error::State {
        file: path.display().to_string(),
        reason,
    };
    let damaged = |error: &dyn std::fmt::Display| wrong(format!("it is damaged: {error}"));
    let (_, facts) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
    let progress = facts
        .metadata()
        .as_ref()
        .and_then(|facts| facts.get(PROGRESS));
    let progress = progress.ok_or_else(|| wrong("it is no state of a run".to_owned()))?;
    let progress: SavedProgress =
        serde_json::from_str(progress).map_err(|error| damaged(&error))?;
    if progress.run != run {
        return Err(wrong(
            "it is of a run with other settings or data: go on with those, or choose another output"
                .to_owned(),
        ));
    }
    if progress.over {
        return Ok(Some(progress));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&error))?;
    let fill = |name: String, shape: &[usize], values: &mut Vec<f32>| {
        let tensor = tensors.tensor(&name).map_err(|error| damaged(&error))?;
        if tensor.shape() != shape || tensor.dtype() != Dtype::F32 {
            return Err(wrong(format!("{name} has another shape or type")));
        }
        // The bytes of a file may be unaligned.
        let four = tensor.data().as_chunks::<4>().0.iter();
        values.clear();
        values.extend(four.map(|&bytes| f32::from_le_bytes(bytes)));
        Ok(())
    };
    for (parameter, moments) in parameters.iter_mut().zip(&mut adamw.moments) {
        let shape = &parameter.shape;
        fill(parameter.name.clone(), shape, &mut parameter.values)?;
        fill(
            format!("first {}", parameter.name),
            shape,
            &mut moments.first,
        )?;
        fill(
            format!("second {}", parameter.name),
            shape,
            &mut moments.second,
        )?;
    }
    adamw.steps = progress.step;
    Ok(Some(progress))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::model::parameters::Parameter;
    use crate::train::run::adamw::Settings;

    fn parameters(values: [f32; 3]) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.add(Parameter {
            name: "a.weight".to_owned(),
            shape: vec![1, 3],
            values: values.to_vec(),
            decays: true,
        });
        parameters
    }

    #[test]
    fn what_is_saved_comes_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let saved = parameters([0.1, f32::MIN_POSITIVE / 4.0, -0.0]);
        let mut adamw = AdamW::new(&saved, Settings::default());
        adamw.moments[0].first = vec![1.0, 2.0, 3.0];
        adamw.moments[0].second = vec![4.0, 5.0, 6.0];
        let progress = SavedProgress {
            run: "r".to_owned(),
            step: 7,
            best: Some((Exact(0.1 + 0.2), 3)),
            losses: (Exact(-1.0 / 3.0), 2),
            ..SavedProgress::default()
        };
        save(&path, &saved, &adamw, &progress).unwrap();
        let mut found = parameters([9.0; 3]);
        let mut state = AdamW::new(&found, Settings::default());
        assert_eq!(
            load(&path, "r", &mut found, &mut state).unwrap(),
            Some(progress.clone())
        );
        let bits = |p: &Parameters| {
            p.iter()
                .flat_map(|p| p.values.clone())
                .map(f32::to_bits)
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&found), bits(&saved));
        assert_eq!((state.steps, state.moments), (7, adamw.moments));

        let over = SavedProgress {
            over: true,
            ..progress
        };
        save_over(&path, &over).unwrap();
        let found = load(
            &path,
            "r",
            &mut found,
            &mut AdamW::new(&saved, Settings::default()),
        );
        assert_eq!(found.unwrap(), Some(over));
    }

    #[test]
    fn what_is_no_state_of_this_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut own = parameters([1.0; 3]);
        let mut adamw = AdamW::new(&own, Settings::default());
        let mut says = |own: &mut Parameters, run: &str| match load(&path, run, own, &mut adamw) {
            Ok(found) => format!("{found:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(says(&mut own, "r"), "None");
        let adamw = AdamW::new(&own, Settings::default());
        save(&path, &own, &adamw, &SavedProgress::default()).unwrap();
        assert!(says(&mut own, "r").contains("a run with other settings"));
        own.iter_mut().for_each(|p| p.shape = vec![3]);
        assert!(says(&mut own, "").ends_with("a.weight has another shape or type"));
        own.iter_mut().for_each(|p| p.name = "b".to_owned());
        assert!(says(&mut own, "").contains("it is damaged"));
        let bytes = fs::read(&path).unwrap();
        for bad in [&bytes[..bytes.len() - 1], b"", &bytes[..20]] {
            fs::write(&path, bad).unwrap();
            assert!(says(&mut own, "").contains("it is damaged"));
        }
        replace_tensors(&path, std::iter::empty(), "format", "pt".to_owned()).unwrap();
        assert!(says(&mut own, "").contains("no state of a run"));
    }
}
