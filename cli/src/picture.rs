//! Pictures: what all charts have in common, and the file that one goes to.
//!
//! A chart is drawn as SVG. Where the file's name ends in `.png`, that is rendered at twice its size, in the system's
//! fonts.

use std::error::Error as StdError;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};

use crate::Error;

/// What drawing yields.
pub type Drawn<T = ()> = Result<T, Box<dyn StdError + Send + Sync>>;
/// What charts are drawn on.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What curves and bars are drawn on.
pub type Plane<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Text and heavy lines.
pub const INK: RGBColor = RGBColor(33, 37, 41);
/// What explains, and axes.
pub const FAINT: RGBColor = RGBColor(134, 142, 150);
/// Lines behind what is shown.
pub const GRID: RGBColor = RGBColor(233, 236, 239);
/// Told apart by those who do not see all colours, too (Okabe and Ito).
pub const COLORS: [RGBColor; 6] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A title's letters.
pub fn bold(size: u32) -> TextStyle<'static> {
    ("sans-serif", size)
        .into_font()
        .style(FontStyle::Bold)
        .color(&INK)
}

/// All other letters.
pub fn plain(size: u32, color: &RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(color)
}

/// Draws axes and lines across at the labels, about so many of either, those below with their unit. `high` is what
/// the axis upwards spans: a small one has a decimal more.
pub fn rule(
    plane: &mut Plane<'_, '_>,
    (across, up): (usize, usize),
    unit: &str,
    high: f64,
) -> Drawn {
    plane
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(across)
        .y_labels(up)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT)
        .label_style(plain(11, &FAINT))
        .x_label_formatter(&|value| format!("{value:.0}{unit}"))
        .y_label_formatter(&|value| format!("{value:.*}", usize::from(high < 5.0)))
        .draw()?;
    Ok(())
}

/// An SVG of so many pixels, white but for what `draw` draws.
pub fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn<String> {
    let mut svg = String::new();
    let page = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    page.fill(&WHITE)?;
    draw(&page)?;
    page.present()?;
    drop(page);
    Ok(svg)
}

/// A picture's path, for the command line.
///
/// # Errors
/// What is written there would be something else than the name's ending says.
pub fn path(path: &str) -> Result<PathBuf, String> {
    if path.is_empty() {
        return Err("a picture needs a name: one that ends in .svg or .png".into());
    }
    let path = PathBuf::from(path);
    match path.extension() {
        Some(_) if is(&path, "svg") || is(&path, "png") => Ok(path),
        // A special file, such as /dev/stdout.
        None => Ok(path),
        Some(_) => Err("a picture is SVG or PNG: give it a name that ends in .svg or .png".into()),
    }
}

/// Whether the path's ending is that one.
pub fn is(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|its| its.eq_ignore_ascii_case(ending))
}

/// The file that a picture goes to. Opened first, so that a path
/// that cannot be written is found out at once.
pub struct File<'a> {
    file: fs::File,
    path: &'a Path,
}

impl<'a> File<'a> {
    /// Opens or makes the file. What is in it stays until it is written.
    pub fn create(path: &'a Path) -> Result<Self, Error> {
        let file = fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::system(format!("write {}", path.display())))?;
        Ok(Self { file, path })
    }

    /// Writes a picture that is SVG: as such, or as what the file's name asks for.
    pub fn write(self, svg: Drawn<String>) -> Result<(), Error> {
        let svg =
            svg.map_err(|error| Error::system("draw the picture")(io::Error::other(error)))?;
        if is(self.path, "png") {
            let bytes = png(&svg).map_err(Error::system("make a PNG"))?;
            return self.write_bytes(&bytes);
        }
        self.write_bytes(svg.as_bytes())
    }

    /// Writes anything.
    pub fn write_bytes(mut self, bytes: &[u8]) -> Result<(), Error> {
        // Special files, such as /dev/stdout, cannot be cut, and need not be.
        _ = self.file.set_len(0);
        self.file
            .write_all(bytes)
            .map_err(Error::system(format!("write {}", self.path.display())))
    }
}

/// Pixels of a PNG for one of the SVG, each way: sharp on screens that have that many.
const SCALE: f32 = 2.0;

fn png(svg: &str) -> io::Result<Vec<u8>> {
    let mut options = usvg::Options::default();
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_system_fonts();
    let sans = usvg::fontdb::Query {
        families: &[usvg::fontdb::Family::SansSerif],
        ..usvg::fontdb::Query::default()
    };
    // Where nobody says which font is the one without serifs, any that is no typewriter's is better than none.
    if fonts.query(&sans).is_none() {
        let faces = fonts.faces();
        let other = faces
            .filter(|face| !face.monospaced)
            .find_map(|face| face.families.first());
        let (family, _) = other.cloned().ok_or_else(|| {
            io::Error::other("the system has no fonts; a name that ends in .svg needs none")
        })?;
        fonts.set_sans_serif_family(family);
    }
    let tree = usvg::Tree::from_str(svg, &options).map_err(io::Error::other)?;
    let size = tree.size().to_int_size();
    let pixels = |of: u32| (of as f32 * SCALE) as u32;
    let mut image = tiny_skia::Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| io::Error::other("the picture has no size"))?;
    let scale = tiny_skia::Transform::from_scale(SCALE, SCALE);
    resvg::render(&tree, scale, &mut image.as_mut());
    image.encode_png().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pictures_name_ends_in_what_it_is() {
        for good in ["a.svg", "a.PNG", "/dev/stdout"] {
            assert_eq!(path(good), Ok(good.into()));
        }
        for bad in ["a.jpg", "a.html", "a.b", ""] {
            assert!(
                path(bad).is_err_and(|why| why.contains(".svg or .png")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_png_is_the_svg_at_twice_its_size_with_its_words() {
        let drawn = |words: &str| {
            let svg = svg((40, 30), |page| {
                page.draw(&Rectangle::new([(0, 0), (9, 29)], COLORS[1].filled()))?;
                page.draw_text(words, &plain(20, &INK), (12, 2))?;
                Ok(())
            });
            let png = png(&svg.expect("it can be drawn")).expect("there are fonts");
            tiny_skia::Pixmap::decode_png(&png).expect("a PNG")
        };
        let (with, without) = (drawn("W"), drawn(""));
        assert_eq!((with.width(), with.height()), (80, 60));
        let pixel = with.pixel(5, 40).expect("within").demultiply();
        assert_eq!([pixel.red(), pixel.green(), pixel.blue()], [0, 114, 178]);
        assert_ne!(with.data(), without.data());
    }
}
