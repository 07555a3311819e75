//! Tables of text in aligned columns.

/// A column: its alignment and its minimum width.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Left(usize),
    Right(usize),
}

/// Formats a row: each cell as wide as its column, and `gap` between two columns.
pub(crate) fn row<T: AsRef<str>>(columns: &[Column], gap: &str, cells: &[T]) -> String {
    let cells = columns.iter().zip(cells).map(|(column, cell)| {
        let cell = cell.as_ref();
        match *column {
            Column::Left(width) => format!("{cell:<width$}"),
            Column::Right(width) => format!("{cell:>width$}"),
        }
    });
    let row = cells.collect::<Vec<_>>().join(gap);
    row.trim_end().to_owned()
}

/// Formats rows after widening each column to its widest cell.
pub(crate) fn table(columns: &[Column], gap: &str, rows: &[Vec<String>]) -> String {
    let mut columns = columns.to_vec();
    for cells in rows {
        for (column, cell) in columns.iter_mut().zip(cells) {
            let (Column::Left(width) | Column::Right(width)) = column;
            *width = cell.chars().count().max(*width);
        }
    }
    let rows = rows.iter().map(|cells| row(&columns, gap, cells));
    rows.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_as_wide_as_their_widest_cell() {
        let columns = [Column::Left(2), Column::Right(4), Column::Left(0)];
        let rows = [
            ["a", "1.5", "é"],
            ["bcd", "10", "is wide"],
            ["e", "12345", ""],
        ];
        let rows = rows.map(|cells| cells.map(str::to_owned).to_vec());
        let expected = "a     1.5 é\nbcd    10 is wide\ne   12345";
        assert_eq!(table(&columns, " ", &rows), expected);
        assert_eq!(row(&columns, "  ", &["a", "1"]), "a      1");
    }
}
