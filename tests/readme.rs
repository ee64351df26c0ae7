//! What the README says of the program is what the program does.

use goheap::options::KNOBS;

const README: &str = include_str!("../README.md");

fn knob_table() -> String {
    let mut table = String::from(
        "| variable | takes | default | does | in Go |\n| --- | --- | --- | --- | --- |\n",
    );
    for k in KNOBS {
        let go = if k.go.is_empty() { "—" } else { k.go };
        table += &format!(
            "| `{}` | {} | {} | {} | {go} |\n",
            k.name, k.takes, k.default, k.does
        );
    }
    table
}

#[test]
fn the_knobs_are_those_of_the_table() {
    let table = knob_table();
    assert!(
        README.contains(&table),
        "put this table into README.md:\n{table}"
    );
}

#[test]
fn the_two_commands_are_there() {
    for command in ["cargo run --release", "cargo test --workspace"] {
        assert!(README.contains(command), "{command}");
    }
}
