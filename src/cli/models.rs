//! `wafersim models list|show`.

use super::reply::Reply;
use crate::fail::Failure;
use crate::inputs;
use clap::Subcommand;
use models::count::{FlopConvention, flops_per_token, parameter_bytes, parameters};
use models::{Preset, presets};
use report::table::{Cell, Table, bytes, grouped, si};
use report::{Document, Tabular, row};
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

pub(super) fn run(command: &Command) -> Result<Reply, Failure> {
    match command {
        Command::List => {
            let shown = |p: Preset| Ok(Shown::of(&Workload::preset(&p.shape.name)?, p.source));
            Ok(Reply::of(List(presets::list().into_iter().map(shown).collect::<Result<_, Failure>>()?)))
        }
        Command::Show { model, seq_len } => {
            let workload = inputs::model(model, Request { seq_len: *seq_len, batch: None })?;
            // The graph of one sequence says whether the sizes make a model.
            Workload { batch: 1, ..workload.clone() }.graph()?;
            let source = presets::find(model).map_or("", |p| p.source);
            Ok(Reply::of(Shown::of(&workload, source)))
        }
    }
}

/// The presets.
#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Shown>);

impl Tabular for List {
    fn table(&self) -> Table {
        table(&self.0)
    }
}

impl Document for List {
    fn text(&self) -> String {
        self.table().text()
    }
}

fn table(models: &[Shown]) -> Table {
    let mut table =
        Table::new(&["name", "layers", "d_model", "heads", "d_ff", "vocab", "parameters", "batch", "seq_len"]);
    for m in models {
        let (name, parameters) = (m.name.as_str(), Cell::Count(m.parameters));
        table.row(row![name, m.layers, m.d_model, m.heads, m.d_ff, m.vocab, parameters, m.batch, m.seq_len]);
    }
    table
}

impl Tabular for Shown {
    fn table(&self) -> Table {
        table(std::slice::from_ref(self))
    }
}

impl Document for Shown {
    fn text(&self) -> String {
        let flops = |f: u64| si(f as f64, "FLOP");
        let per_token = &self.training_flops_per_token;
        let mut text = format!(
            "{}\n  {} layers, width {}, {} heads, feed-forward {}, vocabulary {}, {} positions\n",
            self.name, self.layers, self.d_model, self.heads, self.d_ff, self.vocab, self.max_positions
        );
        text += &format!("  {}\n", self.design);
        text += &format!(
            "  {} parameters: {} in 16 bits, {} in 32\n",
            grouped(self.parameters),
            bytes(self.parameter_bytes_f16),
            bytes(self.parameter_bytes_f32)
        );
        text += &format!("  batch {} × {} tokens unless told otherwise\n", self.batch, self.seq_len);
        text += &format!(
            "  training, per token: {} (Cerebras), {} (PaLM), {} (6N)\n",
            flops(per_token.cerebras),
            flops(per_token.palm),
            flops(per_token.six_n)
        );
        if !self.source.is_empty() {
            text += &format!("  source: {}\n", self.source);
        }
        text
    }
}
