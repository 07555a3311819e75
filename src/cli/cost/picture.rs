//! Chart of dollars for a million predictions by texts per call, on logarithmic axes.

use std::error::Error;

use anyhow::Result;
use plotters::prelude::*;

use super::super::chart::{self, Area, FONT};
use super::table::CostRow;

/// Logarithmic axes have ticks for numbers above 1 only, so dollars are drawn as thousandths.
const PARTS: f64 = 1e3;
/// Colours of the lines, used in turn. None differ only as red and green.
const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(166, 86, 40),
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
];

/// Draws rows as SVG, with a line for each memory size of each platform.
pub(crate) fn svg(rows: &[CostRow]) -> Result<String> {
    chart::svg(|area| draw(rows, area))
}

fn draw(rows: &[CostRow], area: &Area<'_>) -> Result<(), Box<dyn Error>> {
    let (least, most) = range(rows.iter().map(|row| row.total * PARTS));
    let (few, many) = range(rows.iter().map(|row| row.texts as f64));
    let mut chart = ChartBuilder::on(area)
        .caption("US$ for a million predictions", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            // Room for a line of one point.
            (few / 1.05..many * 1.05).log_scale().base(2.0),
            (least / 1.5..most * 1.5).log_scale().base(2.0),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("texts a call")
        .y_labels(20)
        .x_label_formatter(&|texts| format!("{texts:.0}"))
        .y_label_formatter(&|dollars| format!("{}", dollars.round() / PARTS))
        .label_style(FONT)
        .draw()?;
    for (index, line) in lines(rows).iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let point = |row: &&CostRow| (row.texts as f64, row.total * PARTS);
        let series = LineSeries::new(line.iter().map(point), colour.stroke_width(2));
        let name = format!("{}, {} MB", line[0].platform, line[0].memory_mb);
        chart
            .draw_series(series)?
            .label(name)
            .legend(chart::key(colour));
        chart.draw_series(
            line.iter()
                .map(point)
                .map(|at| Circle::new(at, 3, colour.filled())),
        )?;
    }
    chart::legend(&mut chart, SeriesLabelPosition::UpperRight)
}

/// Groups rows into lines, one for each memory size of each platform, and sorts each line by texts.
fn lines(rows: &[CostRow]) -> Vec<Vec<&CostRow>> {
    let mut lines: Vec<Vec<&CostRow>> = Vec::new();
    for row in rows {
        let own = |line: &&mut Vec<&CostRow>| {
            (line[0].platform, line[0].memory_mb) == (row.platform, row.memory_mb)
        };
        match lines.iter_mut().find(own) {
            Some(line) => line.push(row),
            None => lines.push(vec![row]),
        }
    }
    for line in &mut lines {
        line.sort_by_key(|row| row.texts);
    }
    lines
}

/// Smallest and largest of non-negative numbers, at least 1, as a logarithmic axis needs.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers
        .map(|number| number.max(1.0))
        .fold((f64::MAX, 1.0), |(least, most), number| {
            (least.min(number), most.max(number))
        })
}
