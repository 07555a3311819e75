//! The `bertless` command: a BERT model's answers on a terminal and in a pipe. See `bertless --help`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
