//! Chart of the rows, like Figure 3 of the paper (arXiv 2103.10673), with the paper's own points.

use std::error::Error;

use anyhow::{Result, anyhow};
use plotters::coord::combinators::LogCoord;
use plotters::prelude::*;

use crate::table::{Row, RowKind};

const SIZE: (u32, u32) = (1000, 560);

/// Points of the paper's plot, read off it with an error of about a tenth: memory in MB, and percentiles 50, 95 and 99 of the latency
/// in milliseconds. The paper measured sentiment models with ONNX Runtime on AWS Lambda in 2021.
type Points = [(u32, [f64; 3]); 5];
const TINYBERT: Points = [
    (256, [73.0, 118.0, 140.0]),
    (512, [22.0, 47.0, 55.0]),
    (1024, [6.0, 18.0, 25.0]),
    (1536, [5.0, 10.0, 14.0]),
    (2048, [5.0, 9.0, 12.0]),
];
const MOBILEBERT: Points = [
    (256, [365.0, 520.0, 590.0]),
    (512, [145.0, 210.0, 235.0]),
    (1024, [65.0, 95.0, 110.0]),
    (1536, [40.0, 63.0, 73.0]),
    (2048, [30.0, 48.0, 65.0]),
];
/// Panels of the chart: caption, prefix of the models' names, and the paper's points.
const PANELS: [(&str, &str, &Points); 2] = [
    ("TinyBERT, sentiment", "tinybert", &TINYBERT),
    ("MobileBERT, sentiment", "mobilebert", &MOBILEBERT),
];

/// Colours of the series, which can be distinguished without telling red from green.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];
const PAPER: RGBColor = RGBColor(90, 90, 90);

/// Series of the chart: percentiles 50, 95 and 99 of the latency by memory size.
struct Series {
    name: String,
    points: Vec<(f64, [f64; 3])>,
}

/// Draws the rows of requests back to back, as SVG.
pub(crate) fn svg(rows: &[Row]) -> Result<String> {
    let mut svg = String::new();
    draw(rows, &mut svg).map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    Ok(svg)
}

fn draw(rows: &[Row], svg: &mut String) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, (caption, prefix, paper)) in area.split_evenly((1, PANELS.len())).iter().zip(PANELS)
    {
        let mut series = series(rows, prefix);
        let measured = series.len();
        series.push(Series {
            name: "the paper: ONNX Runtime, Lambda of 2021".to_owned(),
            points: paper
                .map(|(memory, times)| (f64::from(memory), times))
                .into(),
        });
        let all = || series.iter().flat_map(|line| &line.points);
        let times = || all().flat_map(|(_, times)| times).copied();
        let (least, most) = (
            times().fold(f64::MAX, f64::min),
            times().fold(0.0, f64::max),
        );
        let mut chart = ChartBuilder::on(panel)
            .caption(caption, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(
                (110.0..3500.0).log_scale().base(2.0),
                (least / 1.3..most * 4.0).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("MB of memory")
            .y_desc("ms a request: p50 with a bar to p99, a mark at p95")
            .x_label_formatter(&|memory| format!("{memory:.0}"))
            .y_label_formatter(&|&time| label(time))
            .label_style(("sans-serif", 13))
            .draw()?;
        for (index, line) in series.iter().enumerate() {
            let colour = if index == measured {
                PAPER
            } else {
                COLOURS[index % COLOURS.len()]
            };
            draw_one_series(&mut chart, line, colour)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 12))
            .draw()?;
    }
    area.present()?;
    Ok(())
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

fn draw_one_series(
    chart: &mut Chart<'_, '_>,
    line: &Series,
    colour: RGBColor,
) -> Result<(), Box<dyn Error>> {
    let middle = line
        .points
        .iter()
        .map(|&(memory, times)| (memory, times[0]));
    chart
        .draw_series(LineSeries::new(middle.clone(), colour.stroke_width(2)))?
        .label(&line.name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    chart.draw_series(middle.map(|at| Circle::new(at, 3, colour.filled())))?;
    for &(memory, [p50, p95, p99]) in &line.points {
        let bar = [(memory, p50), (memory, p99)];
        let mark = [(memory / 1.03, p95), (memory * 1.03, p95)];
        for path in [bar, mark] {
            chart.draw_series([PathElement::new(path, colour.stroke_width(1))])?;
        }
    }
    Ok(())
}

/// Returns a series for each engine and model, in the order of the table.
fn series(rows: &[Row], prefix: &str) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for row in rows {
        if row.what != RowKind::BackToBack || !row.model.starts_with(prefix) {
            continue;
        }
        let name = format!("{}, {}", row.engine, row.model);
        let point = (f64::from(row.memory), [row.p50, row.p95, row.p99]);
        match series.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => series.push(Series {
                name,
                points: vec![point],
            }),
        }
    }
    series
}

fn label(time: f64) -> String {
    match time {
        0.0..1.0 => format!("{time:.1}"),
        _ => format!("{time:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::row;

    #[test]
    fn every_line_is_drawn_beside_the_papers() {
        let row = |engine, memory, what| row(engine, "tinybert int8", memory, what);
        let rows = [
            row("ours", 256, RowKind::BackToBack),
            row("ours", 512, RowKind::BackToBack),
            row("theirs", 256, RowKind::BackToBack),
            row("nobody", 256, RowKind::Spaced),
        ];
        let svg = svg(&rows).unwrap();
        for name in ["ours, tinybert int8", "theirs, tinybert int8", "MobileBERT"] {
            assert!(svg.contains(name), "{name}");
        }
        assert!(!svg.contains("nobody"));
        // The series have two points ("ours"), one ("theirs") and ten (the paper's).
        assert_eq!(svg.matches("<circle").count(), 13);
    }
}
