//! Finds the answer to a question in a context: `cargo run --release --example question -- MODEL_DIR "Who?" "Ada did it."`

use bertless::QuestionAnswerer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("the first argument is the folder of a question answerer")?;
    let question = args.next().ok_or("the second argument is the question")?;
    let context = args.next().ok_or("the third argument is the context")?;

    let answer = QuestionAnswerer::load(dir)?.answer(&question, &context)?;
    println!("{:.4}  {}", answer.score, answer.answer);
    println!("{:.4}  (no answer)", answer.no_answer_score);
    Ok(())
}
