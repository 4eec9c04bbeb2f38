//! `wafersim schema NAME`: JSON Schemas of what other programs read.

use super::reply::Reply;
use crate::fail::Failure;
use crate::manifest::Manifest;
use clap::{Args, ValueEnum};
use published::paper::PaperReport;
use published::scaling::ScalingReport;
use report::RunReport;
use report::counters::Counters;
use report::encoding::json;
use report::simulate::SimulateReport;
use report::train::TrainReport;
use report::why::{Answer, ProgramAnswer};
use schemars::schema_for;

/// The JSON Schema of a document that wafersim writes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wafersim schema report > report.schema.json")]
pub(super) struct Arguments {
    /// The document
    #[arg(value_enum)]
    document: Document,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Document {
    /// What `wafersim run --format json` writes.
    Report,
    /// What `wafersim train --format json` writes.
    Train,
    /// What `wafersim reproduce andromeda-scaling --format json` writes.
    Scaling,
    /// What `wafersim reproduce cerebras-gpt --format json` writes.
    CerebrasGpt,
    /// What `wafersim simulate` and `collective` write, with or without `--profile`.
    Simulate,
    /// What their `--counters FILE.json` writes.
    Counters,
    /// What `wafersim why REPORT.json` writes of a step.
    Why,
    /// What `wafersim why PROGRAM` writes.
    WhyProgram,
    /// What is written beside results.
    Manifest,
}

pub(super) fn run(arguments: &Arguments) -> Result<Reply, Failure> {
    let schema = match arguments.document {
        Document::Report => schema_for!(RunReport),
        Document::Train => schema_for!(TrainReport),
        Document::Scaling => schema_for!(ScalingReport),
        Document::CerebrasGpt => schema_for!(PaperReport),
        Document::Simulate => schema_for!(SimulateReport),
        Document::Counters => schema_for!(Counters),
        Document::Why => schema_for!(Answer),
        Document::WhyProgram => schema_for!(ProgramAnswer),
        Document::Manifest => schema_for!(Manifest),
    };
    Ok(Reply::Bytes(json::document(&schema)?))
}
