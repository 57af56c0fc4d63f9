//! The picture of the latency experiment.

use std::path::Path;

use plotters::prelude::{
    ChartBuilder, Circle, Color, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor,
    SVGBackend, SeriesLabelPosition, WHITE,
};

/// One line: its name, and p99 in milliseconds by load in per cent.
pub(crate) type Line = (&'static str, Vec<(f64, f64)>);

/// Draws the lines to a file.
pub(crate) fn draw(file: &Path, lines: &[Line]) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let least = points().fold(f64::MAX, |least, (_, y)| least.min(*y)) / 1.5;
    let most = points().fold(0.0_f64, |most, (_, y)| most.max(*y)) * 1.5;
    let root = SVGBackend::new(file, (760, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(58.0..112.0, (least..most).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(5)
        .label_style(TEXT)
        .axis_desc_style(TEXT)
        .x_desc("load, % of what all backends together can do")
        .y_desc("p99 from intended arrival, ms")
        // Beyond the last load there is only room for the names.
        .x_label_formatter(&|load| {
            if *load <= 90.0 {
                format!("{load:.0}")
            } else {
                String::new()
            }
        })
        .y_label_formatter(&|latency| format!("{latency:.0}"))
        .draw()?;
    for ((name, points), (red, green, blue)) in lines.iter().zip(COLOURS) {
        let colour = RGBColor(red, green, blue);
        chart
            .draw_series(LineSeries::new(
                points.iter().copied(),
                colour.stroke_width(2),
            ))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        let dots = points
            .iter()
            .map(|point| Circle::new(*point, 4, colour.filled()));
        chart.draw_series(dots)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE)
        .label_font(TEXT)
        .draw()?;
    root.present()?;
    Ok(())
}

const TEXT: (&str, u32) = ("sans-serif", 14);

/// Told apart by those who see few colours, too (Okabe and Ito).
const COLOURS: [(u8, u8, u8); 6] = [
    (0, 114, 178),
    (230, 159, 0),
    (0, 0, 0),
    (204, 121, 167),
    (0, 158, 115),
    (213, 94, 0),
];
