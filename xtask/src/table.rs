//! Tables for the terminal: columns as wide as what is in them, without lines.

use comfy_table::{CellAlignment, Table, presets};

/// A table of these rows; the first is the heading. The columns named in `figures`, counted from 0,
/// stand to the right.
pub(crate) fn table<const N: usize>(
    rows: impl IntoIterator<Item = [String; N]>,
    figures: impl IntoIterator<Item = usize>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in figures {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_figures_right() {
        let rows = [["step", "s"], ["model", "12"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(rows, [1]), "step    s\nmodel  12\n");
    }
}
