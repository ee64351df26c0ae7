//! `goheap top [PID]`: programs on the heap, live.
//!
//! | file | idea |
//! | --- | --- |
//! | `list.rs` | all programs of this user, a row each |
//! | `program.rs` | one program: its memory by state over time, its aims, its size classes |

mod list;
mod program;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::flag;

use crate::passed_on::end_by;
use crate::{Error, amount, observe};
use list::List;
use program::Watched;

/// Watch running programs on goheap.
///
/// Without a PID, lists all that this user may look at; Enter opens one. With one, shows its memory
/// by state as it changes, its cycles and goals, and its size classes. q quits, Esc goes back to
/// the list, g collects, f gives memory back.
#[derive(clap::Args)]
pub struct Options {
    /// The process.
    pid: Option<u32>,
    /// Time between two looks: 500ms, 2s; a number alone is milliseconds.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = amount::between_looks(50))]
    every: Duration,
}

/// How long a program may take to answer before the screen goes on without it.
const PATIENCE: Duration = Duration::from_millis(300);

/// Waiting for a key goes on after a signal: it is looked for so often.
const SIGNALS_SEEN: Duration = Duration::from_millis(100);

/// What is on the screen.
enum Screen {
    List(List),
    Program(Box<Watched>),
}

/// Shows the screen until somebody quits.
pub fn run(options: &Options) -> Result<(), Error> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Error::system("show a live screen")(io::Error::other(
            "there is no terminal; goheap stats prints once",
        )));
    }
    let mut screen = match options.pid {
        Some(pid) => Screen::Program(Box::new(Watched::open(pid)?)),
        None => Screen::List(List::new()),
    };
    let ended_by = ending_signals().map_err(Error::system("handle signals"))?;
    let mut terminal = ratatui::try_init().map_err(Error::system("use the terminal"))?;
    let result = show(&mut terminal, &mut screen, options.every, &ended_by);
    ratatui::restore();
    match ended_by.load(Relaxed) {
        0 => {}
        signal => end_by(signal as i32),
    }
    result.map_err(Error::system("use the terminal"))
}

/// Where the number of a signal will be that asks for the end: the terminal must be put right first.
fn ending_signals() -> io::Result<Arc<AtomicUsize>> {
    let ended_by = Arc::new(AtomicUsize::new(0));
    for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
        flag::register_usize(signal, Arc::clone(&ended_by), signal as usize)?;
    }
    Ok(ended_by)
}

/// Returns when somebody quits, or a signal's number is in `ended_by`.
fn show(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    every: Duration,
    ended_by: &AtomicUsize,
) -> io::Result<()> {
    loop {
        let looked = Instant::now();
        match screen {
            Screen::List(list) => list.look(),
            Screen::Program(program) => program.look(),
        }
        loop {
            terminal.draw(|frame| match screen {
                Screen::List(list) => list.draw(frame),
                Screen::Program(program) => program.draw(frame),
            })?;
            let left = every.saturating_sub(looked.elapsed());
            let pressed_something = event::poll(left.min(SIGNALS_SEEN))?;
            if ended_by.load(Relaxed) != 0 {
                return Ok(());
            }
            if !pressed_something {
                match left.is_zero() {
                    true => break,
                    false => continue,
                }
            }
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                match pressed(screen, key) {
                    After::Quit => return Ok(()),
                    After::Look => break,
                    After::Draw => {}
                }
            }
        }
    }
}

/// What a key asks of the loop.
enum After {
    Quit,
    Look,
    Draw,
}

fn pressed(screen: &mut Screen, key: KeyEvent) -> After {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match (key.code, &mut *screen) {
        (KeyCode::Char('c'), _) if control => After::Quit,
        (KeyCode::Char('q'), _) => After::Quit,
        (KeyCode::Up | KeyCode::Char('k'), Screen::List(list)) => {
            list.move_by(-1);
            After::Draw
        }
        (KeyCode::Down | KeyCode::Char('j'), Screen::List(list)) => {
            list.move_by(1);
            After::Draw
        }
        (KeyCode::Enter, Screen::List(list)) => match list.chosen().map(Watched::open) {
            Some(Ok(program)) => {
                *screen = Screen::Program(Box::new(program));
                After::Look
            }
            Some(Err(error)) => {
                list.say(error.to_string());
                After::Draw
            }
            None => After::Draw,
        },
        (KeyCode::Esc, Screen::List(_)) => After::Quit,
        (KeyCode::Esc | KeyCode::Backspace | KeyCode::Left, Screen::Program(_)) => {
            *screen = Screen::List(List::new());
            After::Look
        }
        (KeyCode::Char('g'), Screen::Program(program)) => {
            program.gc();
            After::Look
        }
        (KeyCode::Char('f'), Screen::Program(program)) => {
            program.free();
            After::Look
        }
        _ => After::Draw,
    }
}

/// The programs to show: not this one, which is on the heap as well.
fn programs() -> Vec<observe::Program> {
    let mut programs = observe::list();
    programs.retain(|program| program.facts.pid != std::process::id());
    programs
}
