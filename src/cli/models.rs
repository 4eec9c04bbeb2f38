//! `wafersim models list|show`.

use super::options::Format;
use super::{Output, json};
use crate::fail::Failure;
use crate::inputs;
use clap::Subcommand;
use models::count::{FlopConvention, flops_per_token, parameter_bytes, parameters};
use models::presets;
use report::table::{Table, bytes, grouped, si};
use runner::Workload;
use runner::workload::Request;
use serde::Serialize;
use sim_core::program::DType;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The presets
    List,
    /// Sizes, parameters, FLOPs and bytes of a model
    #[command(after_help = "Examples:\n  wafersim models show gpt2-small\n  wafersim models show ./config.json")]
    Show {
        /// A preset, or the path of a Hugging Face config.json
        model: String,
        /// Tokens per sequence
        #[arg(long, value_name = "N")]
        seq_len: Option<u32>,
    },
}

#[derive(Serialize)]
struct Shown {
    name: String,
    layers: u32,
    d_model: u32,
    heads: u32,
    d_ff: u32,
    vocab: u32,
    max_positions: u32,
    design: String,
    parameters: u64,
    parameter_bytes_f16: u64,
    parameter_bytes_f32: u64,
    batch: u64,
    seq_len: u32,
    training_flops_per_token: Flops,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
}

#[derive(Serialize)]
struct Flops {
    cerebras: u64,
    palm: u64,
    six_n: u64,
}

impl Shown {
    fn of(workload: &Workload, source: &str) -> Shown {
        let (s, t) = (&workload.shape, workload.seq_len);
        Shown {
            name: s.name.clone(),
            layers: s.layers,
            d_model: s.d_model,
            heads: s.heads,
            d_ff: s.d_ff,
            vocab: s.vocab,
            max_positions: s.max_positions,
            design: s.design.to_string(),
            parameters: parameters(s),
            parameter_bytes_f16: parameter_bytes(s, DType::F16),
            parameter_bytes_f32: parameter_bytes(s, DType::F32),
            batch: workload.batch,
            seq_len: t,
            training_flops_per_token: Flops {
                cerebras: flops_per_token(s, t, FlopConvention::Cerebras),
                palm: flops_per_token(s, t, FlopConvention::Palm),
                six_n: flops_per_token(s, t, FlopConvention::SixN),
            },
            source: source.to_owned(),
        }
    }
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Vec<u8>, Failure> {
    match command {
        Command::List => list(output),
        Command::Show { model, seq_len } => {
            let workload = inputs::model(model, Request { seq_len: *seq_len, batch: None })?;
            // The graph of one sequence says whether the sizes make a model.
            Workload { batch: 1, ..workload.clone() }.graph()?;
            let source = presets::find(model).map_or("", |p| p.source);
            show(&Shown::of(&workload, source), output)
        }
    }
}

fn list(output: &Output) -> Result<Vec<u8>, Failure> {
    let mut shown = Vec::new();
    for preset in presets::list() {
        shown.push(Shown::of(&Workload::preset(&preset.shape.name)?, preset.source));
    }
    match output.format {
        Format::Json => json(&shown),
        Format::Csv => Ok(table(&shown, |n| n.to_string()).csv().into_bytes()),
        Format::Text => Ok(table(&shown, grouped).text().into_bytes()),
    }
}

fn table(models: &[Shown], number: impl Fn(u64) -> String) -> Table {
    let mut table =
        Table::new(&["name", "layers", "d_model", "heads", "d_ff", "vocab", "parameters", "batch", "seq_len"]);
    for m in models {
        let sizes = [m.layers, m.d_model, m.heads, m.d_ff, m.vocab].map(|n| n.to_string());
        let mut row = vec![m.name.clone()];
        row.extend(sizes);
        row.extend([number(m.parameters), m.batch.to_string(), m.seq_len.to_string()]);
        table.row(row);
    }
    table
}

fn show(m: &Shown, output: &Output) -> Result<Vec<u8>, Failure> {
    match output.format {
        Format::Json => return json(m),
        Format::Csv => return Ok(table(std::slice::from_ref(m), |n| n.to_string()).csv().into_bytes()),
        Format::Text => {}
    }
    let flops = |f: u64| si(f as f64, "FLOP");
    let per_token = &m.training_flops_per_token;
    let mut text = format!(
        "{}\n  {} layers, width {}, {} heads, feed-forward {}, vocabulary {}, {} positions\n",
        m.name, m.layers, m.d_model, m.heads, m.d_ff, m.vocab, m.max_positions
    );
    text += &format!("  {}\n", m.design);
    text += &format!(
        "  {} parameters: {} in 16 bits, {} in 32\n",
        grouped(m.parameters),
        bytes(m.parameter_bytes_f16),
        bytes(m.parameter_bytes_f32)
    );
    text += &format!("  batch {} × {} tokens unless told otherwise\n", m.batch, m.seq_len);
    text += &format!(
        "  training, per token: {} (Cerebras), {} (PaLM), {} (6N)\n",
        flops(per_token.cerebras),
        flops(per_token.palm),
        flops(per_token.six_n)
    );
    if !m.source.is_empty() {
        text += &format!("  source: {}\n", m.source);
    }
    Ok(text.into_bytes())
}
