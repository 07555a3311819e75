//! Compares texts by their embeddings: `cargo run --release --example embed -- MODEL_DIR "A man eats." "Someone has lunch." "It rains."`

use bertless::Embedder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("the first argument is the folder of an embedding model")?;
    let texts: Vec<String> = args.collect();

    let embedder = Embedder::load(dir)?;
    let embeddings = embedder.embed_batch(&texts)?;
    // Most models return vectors of length one, whose dot products are cosine similarities.
    println!(
        "{:.3}",
        embedder
            .similarity_measure()
            .matrix(&embeddings, &embeddings)
    );
    Ok(())
}
