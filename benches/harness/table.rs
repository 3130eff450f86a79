use std::fmt;

/// A table in Markdown: some columns of text, then numbers.
pub(crate) struct Table {
    texts: usize,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(texts: usize, columns: &[&'static str]) -> Table {
        Table { texts, columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(self.columns[column].chars().count())
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut line = |cells: &[&str]| {
            f.write_str("|")?;
            for (i, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                if i < self.texts { write!(f, " {cell:<width$} |")? } else { write!(f, " {cell:>width$} |")? }
            }
            f.write_str("\n")
        };
        line(&self.columns)?;
        let rules: Vec<String> = (widths.iter().enumerate())
            .map(|(i, width)| if i < self.texts { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) })
            .collect();
        line(&rules.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.rows.iter().try_for_each(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}
