//! Chart of a training log: loss and metrics by step.

use std::error::Error;

use anyhow::Result;
use bertless::train::Line;
use plotters::prelude::*;

use super::super::chart::{self, Area, FONT};

const LOSS: RGBColor = RGBColor(0, 114, 178);
/// Colours of the metrics, used in turn.
const METRICS: [RGBColor; 4] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(90, 90, 90),
];

/// Name of a curve, and its points by step.
type Curve = (String, Vec<(f64, f64)>);

/// Draws a log as SVG: the loss on the left axis, metrics, which are at most 1, on the right.
pub(super) fn svg(lines: &[Line]) -> Result<String> {
    chart::svg(|area| draw(lines, area))
}

fn draw(lines: &[Line], area: &Area<'_>) -> Result<(), Box<dyn Error>> {
    let (losses, metrics) = curves(lines);
    let values = || metrics.iter().flat_map(|(_, points)| points);
    let steps = losses.iter().chain(values()).map(|point| point.0);
    let last = steps.fold(1.0, f64::max);
    let most = losses.iter().map(|point| point.1).fold(0.0, f64::max);
    let least = values().map(|point| point.1).fold(1.0, f64::min);
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .right_y_label_area_size(64)
        .build_cartesian_2d(0.0..last, 0.0..(most * 1.05).max(1e-3))?
        .set_secondary_coord(0.0..last, (least - 0.02).max(-1.0)..1.0);
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("steps")
        .y_desc("loss")
        .x_label_formatter(&|step| format!("{step:.0}"))
        .label_style(FONT)
        .draw()?;
    if !metrics.is_empty() {
        let mut axis = chart.configure_secondary_axes();
        axis.label_style(FONT).draw()?;
    }
    chart
        .draw_series(LineSeries::new(
            losses.iter().copied(),
            LOSS.stroke_width(2),
        ))?
        .label("loss")
        .legend(chart::key(LOSS));
    for (index, (name, points)) in metrics.iter().enumerate() {
        let colour = METRICS[index % METRICS.len()];
        let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        let drawn = chart.draw_secondary_series(series)?;
        drawn.label(name).legend(chart::key(colour));
        let dots = points.iter().map(|&at| Circle::new(at, 3, colour.filled()));
        chart.draw_secondary_series(dots)?;
    }
    chart::legend(&mut chart, SeriesLabelPosition::MiddleRight)
}

/// Collects the losses by step, and a curve for each metric.
fn curves(lines: &[Line]) -> (Vec<(f64, f64)>, Vec<Curve>) {
    let (mut losses, mut metrics) = (Vec::new(), Vec::<Curve>::new());
    for line in lines {
        match line {
            Line::Steps(steps) => losses.push((steps.step as f64, steps.loss)),
            Line::Figures(line) => {
                for (name, value) in &line.figures {
                    let point = (line.step as f64, *value);
                    match metrics.iter_mut().find(|(known, _)| known == name) {
                        Some((_, points)) => points.push(point),
                        None => metrics.push((name.clone(), vec![point])),
                    }
                }
            }
        }
    }
    (losses, metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bertless::train::{Figures, Steps};

    #[test]
    fn a_log_has_a_curve_for_the_loss_and_one_for_each_metric() {
        let steps = |step| {
            Line::Steps(Steps {
                step,
                epoch: 0.5,
                loss: 1.0 / step as f64,
                rate: 1e-5,
                norm: 1.0,
                tokens_per_second: 10.0,
            })
        };
        let figures = |step| {
            Line::Figures(Figures {
                step,
                figures: vec![("accuracy".to_owned(), 0.8), ("mcc".to_owned(), -0.1)],
                best: true,
            })
        };
        let svg = svg(&[steps(10), figures(10), steps(20), figures(20)]).unwrap();
        for text in ["loss", "accuracy", "mcc", "steps"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.matches("<polyline").count() >= 3);
    }

    #[test]
    fn an_empty_log_is_an_empty_picture() {
        assert!(svg(&[]).unwrap().contains("<svg"));
    }
}
