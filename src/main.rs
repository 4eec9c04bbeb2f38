//! The `wafersim` command: everything is in [`wafersim::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    wafersim::cli::main(std::env::args_os())
}
