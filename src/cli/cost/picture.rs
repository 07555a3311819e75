//! Bills as a picture: dollars for a million predictions by texts a call, both in powers.

use std::error::Error;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::table::Row;

const SIZE: (u32, u32) = (860, 520);
/// Axes of powers have marks for numbers over one alone: dollars are drawn as thousandths.
const PARTS: f64 = 1e3;
/// One a line, again from the front when they are used up; told apart without red beside green.
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

/// Draws rows as SVG, a line for each size of each platform.
pub(crate) fn svg(rows: &[Row]) -> Result<String> {
    let mut svg = String::new();
    draw(rows, &mut svg).map_err(|error| anyhow!("the picture cannot be drawn: {error}"))?;
    Ok(svg)
}

fn draw(rows: &[Row], svg: &mut String) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (least, most) = range(rows.iter().map(|row| row.total * PARTS));
    let (few, many) = range(rows.iter().map(|row| row.texts as f64));
    let mut chart = ChartBuilder::on(&area)
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
        .label_style(("sans-serif", 14))
        .draw()?;
    for (index, line) in lines(rows).iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let point = |row: &&Row| (row.texts as f64, row.total * PARTS);
        let series = LineSeries::new(line.iter().map(point), colour.stroke_width(2));
        let name = format!("{}, {} MB", line[0].platform, line[0].memory_mb);
        chart
            .draw_series(series)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(
            line.iter()
                .map(point)
                .map(|at| Circle::new(at, 3, colour.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    drop(chart);
    Ok(())
}

/// Rows of one size of one platform, in order of texts; lines in the order in which they come.
fn lines(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut lines: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let own = |line: &&mut Vec<&Row>| {
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

/// The least and the greatest of numbers that are not negative, as an axis of powers can have them.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers
        .map(|number| number.max(1.0))
        .fold((f64::MAX, 1.0), |(least, most), number| {
            (least.min(number), most.max(number))
        })
}
