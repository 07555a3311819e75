use std::path::Path;

use bertless::{Encoding, Model, ModelOptions};

fn main() -> anyhow::Result<()> {
    let (path, threads) = peers::arguments();
    let mut options = ModelOptions::new().threads(threads);
    // A packed file determines the type that it is computed in.
    if let (Ok(dtype), true) = (std::env::var("PEER_DTYPE"), Path::new(&path).is_dir()) {
        options = options.dtype(dtype.parse()?);
    }
    let model = Model::load_with(path, options)?;
    peers::serve(|batch| {
        let encodings: Vec<Encoding> = batch.iter().cloned().map(Encoding::from_ids).collect();
        let states = model.last_hidden_states(&encodings).expect("rows");
        states[0].iter().take(4).copied().collect()
    });
    Ok(())
}
