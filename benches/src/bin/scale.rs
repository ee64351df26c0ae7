//! How costs grow with the heap: from a megabyte live to gigabytes, by object size.
//!
//! Each point is a process of its own, on goheap alone. It fills the heap, replaces random objects until
//! the heap has its size, and then tells what a replacement costs, what a cycle costs that finds nothing dead,
//! for each page in use, and how much metadata there is. What is flat scales; a replacement of random
//! objects is not, since ever less of the heap is in the processor's caches.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Parser;
use goheap::GoHeap;
use goheap_benches::cost::Cost;
use goheap_benches::machine;
use goheap_benches::numbers::Numbers;
use goheap_benches::rounds;
use goheap_benches::workload::object::Object;
use indicatif::{ProgressBar, ProgressStyle};
use plotters::prelude::*;

static HEAP: GoHeap = GoHeap::new();

/// Bytes of an object: a word, a small one, one of few in a span, one in a span of its own.
const SIZES: [usize; 4] = [16, 128, 4096, 65536];
/// From one measurement to the next, the live heap is so many times larger.
const STEP: u64 = 4;
/// A heap with more objects than this is left out: the benchmark's own table of them would be as large.
const MOST_OBJECTS: u64 = 1 << 27;
/// So many cycles are timed.
const CYCLES: usize = 7;
/// The heap's own page.
const PAGE: f64 = 8192.0;

/// Measures how goheap's costs grow with the heap. Writes benches/results/scale.csv and a picture.
#[derive(Parser)]
struct Arguments {
    /// The largest live heap, in MiB. Half of it is needed once more for garbage
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    most: u64,
    /// Measure one point in this process
    #[arg(long, hide = true, num_args = 2, value_names = ["LIVE", "SIZE"])]
    one: Option<Vec<u64>>,
}

/// What a process tells, in this order.
#[derive(Clone, Copy)]
struct Figure {
    name: &'static str,
    title: &'static str,
}

const FIGURES: [Figure; 4] = [
    Figure {
        name: "replace_ns",
        title: "a random replacement, ns",
    },
    Figure {
        name: "cycle_us",
        title: "a cycle with nothing dead, µs",
    },
    Figure {
        name: "cycle_ns_a_page",
        title: "… for each page of 8 KiB in use, ns",
    },
    Figure {
        name: "metadata_percent",
        title: "metadata, % of the heap in use",
    },
];

struct Point {
    live: u64,
    size: usize,
    figures: Vec<f64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.one.as_deref() {
        Some(&[live, size]) => {
            measure(live as usize, size as usize);
            Ok(())
        }
        _ => compare(arguments.most),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the figures of a heap with so many bytes live in objects of that size.
fn measure(live: usize, size: usize) {
    goheap::set_gc_percent(50);
    let count = (live / size).max(1);
    let mut objects: Vec<Object> = (0..count).map(|_| Object::new(&HEAP, size)).collect();
    let mut numbers = Numbers::new(1);
    let mut replace = |operations: usize| {
        for _ in 0..operations {
            let object = &mut objects[numbers.below(count as u32) as usize];
            object.free(&HEAP);
            *object = Object::new(&HEAP, size);
        }
    };
    // Three cycles' worth, and no less than what fills the caches.
    replace((count * 3 / 2).max(100_000));
    let operations = count.clamp(200_000, 4_000_000);
    let cost = Cost::of(|| replace(operations));
    let replacement = cost.wall.as_secs_f64() * 1e9 / operations as f64;

    goheap::gc();
    let one = || {
        let begun = Instant::now();
        goheap::gc();
        begun.elapsed().as_secs_f64()
    };
    // The least: what else the machine does only adds to it.
    let cycle = (0..CYCLES).map(|_| one()).fold(f64::INFINITY, f64::min);
    let stats = goheap::read_mem_stats();
    let metadata = stats.sys - stats.heap_sys - stats.stack_sys;
    println!(
        "{replacement} {} {} {}",
        cycle * 1e6,
        cycle * 1e9 / (stats.heap_inuse as f64 / PAGE),
        metadata as f64 / stats.heap_inuse as f64 * 100.0,
    );
}

/// All points, the smallest heap first.
fn compare(most: u64) -> io::Result<()> {
    let mut lives: Vec<u64> = std::iter::successors(Some(1), |live| Some(live * STEP))
        .take_while(|&live| live < most)
        .collect();
    lives.push(most);
    let wanted: Vec<(u64, usize)> = lives
        .iter()
        .flat_map(|&live| SIZES.map(|size| (live, size)))
        .filter(|&(live, size)| (live << 20) / size as u64 <= MOST_OBJECTS)
        .collect();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} {msg}");
    let progress = ProgressBar::new(wanted.len() as u64)
        .with_style(style.map_err(|error| io::Error::other(error.to_string()))?);
    let mut points = Vec::new();
    for (live, size) in wanted {
        progress.set_message(format!("{live} MiB of {size} bytes"));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--one", &(live << 20).to_string(), &size.to_string()]);
        let figures = rounds::ask(command)?.figures;
        points.push(Point {
            live,
            size,
            figures,
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    report(most, &points)
}

fn report(most: u64, points: &[Point]) -> io::Result<()> {
    let command = format!("cargo run --release -p goheap-benches --bin scale -- --most {most}");
    let names = FIGURES.map(|figure| figure.name).join(",");
    let mut csv = machine::header(&command, "a process each; GOGC=50");
    csv += &format!("live_mib,object_bytes,objects,{names}\n");
    println!("live_mib,object_bytes,objects,{names}");
    for Point {
        live,
        size,
        figures,
    } in points
    {
        let figures: Vec<String> = figures
            .iter()
            .map(|figure| format!("{figure:.2}"))
            .collect();
        let objects = (live << 20) / *size as u64;
        let line = format!("{live},{size},{objects},{}", figures.join(","));
        println!("{line}");
        writeln!(csv, "{line}").expect("a string takes anything");
    }
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&results)?;
    std::fs::write(results.join("scale.csv"), csv)?;
    let mut svg = String::new();
    draw(points, &mut svg).map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::write(results.join("scale.svg"), svg)?;
    println!("written to benches/results/scale.csv and scale.svg");
    Ok(())
}

/// Told apart by those who do not see all colours, too (Okabe and Ito).
const COLORS: [RGBColor; 4] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// A panel a figure, a line an object size; both axes by powers of two.
fn draw(points: &[Point], svg: &mut String) -> Result<(), Box<dyn Error>> {
    let page = SVGBackend::with_string(svg, (960, 720)).into_drawing_area();
    page.fill(&WHITE)?;
    let page = page.titled(
        "How goheap's costs grow with the heap",
        ("sans-serif", 20).into_font().style(FontStyle::Bold),
    )?;
    let mib = |point: &Point| point.live as f64;
    let (least, most) = ends(points.iter().map(mib));
    for (at, panel) in page.split_evenly((2, 2)).iter().enumerate() {
        let (low, high) = ends(points.iter().map(|point| point.figures[at]));
        let mut chart = ChartBuilder::on(panel)
            .margin(12)
            .caption(FIGURES[at].title, ("sans-serif", 15))
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(
                (least..most * 1.01).log_scale().base(2.0),
                (low / 1.5..high * 1.5).log_scale().base(2.0),
            )?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("live heap, MiB")
            .x_label_formatter(&|mib| format!("{mib:.0}"))
            .y_label_formatter(&|value| match *value >= 10.0 {
                true => format!("{value:.0}"),
                false => format!("{value:.1}"),
            })
            .draw()?;
        for (size, color) in SIZES.into_iter().zip(COLORS) {
            let line = || {
                let of_size = points.iter().filter(move |point| point.size == size);
                of_size.map(|point| (mib(point), point.figures[at]))
            };
            chart
                .draw_series(LineSeries::new(line(), color.stroke_width(2)))?
                .label(format!("objects of {size} bytes"))
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
            chart.draw_series(line().map(|dot| Circle::new(dot, 3, color.filled())))?;
        }
        if at == 0 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.8))
                .draw()?;
        }
    }
    page.present()?;
    Ok(())
}

/// The least and the greatest that can stand on a logarithmic axis.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let above = values.filter(|value| *value > 0.0);
    above.fold((f64::INFINITY, f64::MIN_POSITIVE), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}
