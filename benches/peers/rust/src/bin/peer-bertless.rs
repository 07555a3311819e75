use bertless::{Encoding, Model, ModelOptions};

fn main() -> anyhow::Result<()> {
    let (dir, threads) = peers::arguments();
    let model = Model::load_with(dir, ModelOptions::new().threads(threads))?;
    peers::serve(|batch| {
        let encodings: Vec<Encoding> = batch.iter().cloned().map(Encoding::from_ids).collect();
        let states = model.encode_batch(&encodings).expect("rows");
        states[0].iter().take(4).copied().collect()
    });
    Ok(())
}
