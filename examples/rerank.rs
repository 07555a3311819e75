//! Ranks passages by their relevance to a query: `cargo run --release --example rerank -- MODEL_DIR "query" "passage" "passage"`

use bertless::Reranker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("the first argument is the folder of a cross-encoder or an embedding model")?;
    let query = args.next().ok_or("the second argument is the query")?;
    let passages: Vec<String> = args.collect();

    let reranker = Reranker::load(dir)?;
    for ranked in reranker.rerank(&query, &passages)? {
        println!("{:.4}  {}", ranked.score, passages[ranked.index]);
    }
    Ok(())
}
