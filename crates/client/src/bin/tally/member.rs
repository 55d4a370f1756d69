//! `tally member gone`: an operator's promise that a replica never comes back, told to all nodes.

use clap::{Args, Subcommand};
use crdt_core::ReplicaId;
use serde_json::json;

use crate::{
    Common,
    output::{CommandError, Output, print_line, table},
};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Member,
}

#[derive(Subcommand)]
enum Member {
    /// Promise that a replica never comes back.
    Gone(Gone),
}

#[derive(Args)]
struct Gone {
    /// The replica's id: 32 hexadecimal digits, as `tally status` writes them.
    #[arg(value_parser = replica_id, value_name = "ID")]
    replica: ReplicaId,
    /// Do it; without this the command only says what it means.
    #[arg(long)]
    promise: bool,
}

fn replica_id(text: &str) -> Result<ReplicaId, String> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bits = is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    let expected = "a replica's id has 32 hexadecimal digits; `tally status` lists them";
    bits.map(ReplicaId::new).ok_or_else(|| expected.to_owned())
}

/// What the promise means.
fn meaning(replica: ReplicaId) -> String {
    format!(
        "You promise that replica {replica} never comes back: neither its process nor a copy of its data \
         directory.\nThe other nodes then wait for it no more before they forget closed sessions. What it has \
         counted stays.\nIf it does come back, a request that it took over from a session that was forgotten \
         meanwhile is lost,\nor counts on that replica alone."
    )
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    arguments: Arguments,
) -> Result<(), CommandError> {
    let Member::Gone(Gone { replica, promise }) = arguments.command;
    if !promise {
        return Err(CommandError::Argument(format!(
            "nothing was done yet.\n{}\nTo promise it, name all other nodes with --node, and add --promise",
            meaning(replica)
        )));
    }
    if !output.json {
        print_line(&meaning(replica))?;
    }
    let client = common.client()?;
    let answers = client
        .declare_member_gone(wire::replica_id_to_bytes(replica))
        .await;
    let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let mut rows = vec![["NODE", "SAYS"].map(str::to_owned).to_vec()];
    for (node, answer) in &answers {
        let error = answer.as_ref().err().map(ToString::to_string);
        if output.json {
            let line = json!({ "node": node, "done": error.is_none(), "error": error });
            print_line(&line.to_string())?;
        }
        let says = error.unwrap_or_else(|| "waits for it no more".to_owned());
        rows.push(vec![node.clone(), says]);
    }
    if !output.json {
        print_line(&table(&rows))?;
    }
    if failed > 0 {
        return Err(CommandError::Partial(format!(
            "{failed} of {} nodes did not do it, for the reasons above; a node that does not know the replica \
             waits for nothing of it. The same command may be given again",
            answers.len()
        )));
    }
    Ok(())
}
