//! What all charts share: an SVG of one size, and the look of lines and legends.

use std::error::Error;

use anyhow::{Result, anyhow};
use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

/// Font of labels.
pub(crate) const FONT: (&str, u32) = ("sans-serif", 14);
/// Width and height of a chart.
const SIZE: (u32, u32) = (860, 520);

/// What a chart is drawn on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a chart on white as SVG.
pub(crate) fn svg(draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn Error>>) -> Result<String> {
    let mut svg = String::new();
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        Ok(area.present()?)
    })();
    drawn.map_err(|error: Box<dyn Error>| anyhow!("the chart cannot be drawn: {error}"))?;
    Ok(svg)
}

/// A short line of a colour, which stands for a series in the legend.
pub(crate) fn key(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
}

/// Draws the legend of all series that have a label.
pub(crate) fn legend<'a, 'b: 'a, X: Ranged, Y: Ranged>(
    chart: &mut ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>,
    position: SeriesLabelPosition,
) -> Result<(), Box<dyn Error>> {
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .label_font(FONT)
        .draw()?;
    Ok(())
}
