//! Draws the two plots of a run as SVG.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::report::Throughput;

const COLOURS: [RGBColor; 8] = [
    RGBColor(194, 53, 28),
    RGBColor(30, 96, 145),
    RGBColor(82, 121, 111),
    RGBColor(233, 160, 59),
    RGBColor(106, 76, 147),
    RGBColor(66, 66, 66),
    RGBColor(197, 134, 192),
    RGBColor(25, 130, 196),
];

/// Draws the throughput of every measurement, per second, as bars.
pub fn bars(path: &Path, rows: &[Throughput]) -> anyhow::Result<()> {
    let height = 80 + 34 * rows.len() as u32;
    let area = SVGBackend::new(path, (960, height)).into_drawing_area();
    let highest = rows.iter().map(|row| row.per_second).fold(1.0, f64::max);
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        area.draw_text("Per second", &("sans-serif", 18).into_text_style(&area), (20, 14))?;
        let style = ("sans-serif", 14).into_text_style(&area);
        for (number, row) in rows.iter().enumerate() {
            let top = 48 + 34 * number as i32;
            let width = (row.per_second / highest * 480.0) as i32;
            let colour = COLOURS[number % COLOURS.len()];
            area.draw_text(&row.name, &style, (20, top + 4))?;
            area.draw(&Rectangle::new([(360, top), (360 + width, top + 22)], colour.filled()))?;
            area.draw_text(&format!("{:.0}", row.per_second), &style, (370 + width, top + 4))?;
        }
        area.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow!("cannot plot {}: {error}", path.display()))
}

/// Draws the latencies: the milliseconds within which each share of the responses came.
pub fn latencies(path: &Path, rows: &[Throughput]) -> anyhow::Result<()> {
    let rows: Vec<&Throughput> = rows.iter().filter(|row| !row.curve.is_empty()).collect();
    let area = SVGBackend::new(path, (960, 520)).into_drawing_area();
    let slowest = rows.iter().flat_map(|row| &row.curve).map(|(_, ms)| *ms).fold(1.0, f64::max);
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Latency", ("sans-serif", 18))
            .margin(20)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..100.0, (0.01..slowest * 1.2).log_scale())?;
        chart.configure_mesh().x_desc("% of responses").y_desc("ms").draw()?;
        for (number, row) in rows.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points = row.curve.iter().map(|(share, ms)| (share * 100.0, ms.max(0.01)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(row.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        area.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow!("cannot plot {}: {error}", path.display()))
}
