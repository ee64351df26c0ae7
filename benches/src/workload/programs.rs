//! Whole programs in small, on the global allocator; see [`crate::global`]. What they compute is of
//! no use, and each does so many rounds of it.

use std::alloc::GlobalAlloc;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use rayon::slice::ParallelSliceMut;
use serde_json::Value;

use crate::contestant::Measure;
use crate::cost::Cost;
use crate::numbers::Numbers;

/// A program. It takes the global allocator, whatever heap it is measured on.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// Parses a document of 100 KB of JSON into values, and drops them.
    Json,
    /// Builds an expression of 20,000 nodes, folds it into a new one, and drops both.
    Compiler,
    /// Sorts 20,000 strings on all processors, by a buffer each, after making them.
    Sort,
    /// A hash map of 20,000 strings, of which 40,000 come and as many go.
    HashMap,
    /// A server on loopback and a hundred connections, each a thread at both ends, that send a
    /// request and get an answer made for it, twenty times.
    Server,
}

impl Measure for Program {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, _: &'static A, operations: u64) -> Cost {
        let document = document();
        super::warmed(operations, |rounds| {
            for round in 0..rounds {
                match self {
                    Self::Json => drop(black_box(serde_json::from_str::<Value>(&document))),
                    Self::Compiler => compile(round + 1),
                    Self::Sort => sort(round + 1),
                    Self::HashMap => churn(round + 1),
                    Self::Server => serve(),
                }
            }
        })
    }
}

fn document() -> String {
    let mut numbers = Numbers::new(1);
    let mut text = String::from("[");
    for id in 0..800 {
        let comma = if id == 0 { "" } else { "," };
        let (a, b) = (numbers.below(1000), numbers.below(1_000_000));
        write!(
            text,
            r#"{comma}{{"id":{id},"name":"user number {b}","tags":["a{a}","b","c{b}"],"at":{{"x":{a}.5,"y":-{b}}},"friends":[{a},{b},{id}]}}"#
        )
        .expect("a string takes anything");
    }
    text + "]"
}

enum Expression {
    Number(f64),
    Name(String),
    Both(Box<Expression>, Box<Expression>),
    Call(Vec<Expression>),
}

fn compile(seed: u64) {
    let source = expression(&mut Numbers::new(seed), 20_000);
    let folded = fold(&source);
    black_box(&folded);
}

fn expression(numbers: &mut Numbers, nodes: u32) -> Expression {
    match (nodes, numbers.below(4)) {
        (0..=1, 0 | 1) => Expression::Number(numbers.fraction()),
        (0..=1, _) => Expression::Name(format!("x{}", numbers.below(1000))),
        (_, 0) => {
            let arguments = 1 + numbers.below(5);
            let argument = |_| expression(numbers, (nodes - 1) / arguments);
            Expression::Call((0..arguments).map(argument).collect())
        }
        _ => {
            let left = 1 + numbers.below(nodes - 1);
            Expression::Both(
                Box::new(expression(numbers, left)),
                Box::new(expression(numbers, nodes - left)),
            )
        }
    }
}

fn fold(expression: &Expression) -> Expression {
    match expression {
        Expression::Number(number) => Expression::Number(*number),
        Expression::Name(name) => Expression::Name(name.clone()),
        Expression::Call(arguments) => Expression::Call(arguments.iter().map(fold).collect()),
        Expression::Both(left, right) => match (fold(left), fold(right)) {
            (Expression::Number(left), Expression::Number(right)) => {
                Expression::Number(left + right)
            }
            (left, right) => Expression::Both(Box::new(left), Box::new(right)),
        },
    }
}

fn sort(seed: u64) {
    let mut numbers = Numbers::new(seed);
    let mut words: Vec<String> = (0..20_000)
        .map(|_| numbers.next_bits().to_string())
        .collect();
    // A key made for each comparison, as sloppy programs do.
    words.par_sort_by_key(|word| word.chars().rev().take(12).collect::<String>());
    black_box(words);
}

fn churn(seed: u64) {
    let mut numbers = Numbers::new(seed);
    let mut map: HashMap<String, Vec<u64>> = HashMap::new();
    for _ in 0..60_000 {
        let key = format!("key number {}", numbers.below(40_000));
        if map.remove(&key).is_none() {
            let length = numbers.below(16) as usize;
            map.insert(key, vec![length as u64; length]);
        }
    }
    black_box(map);
}

const CONNECTIONS: usize = 100;
const REQUESTS: usize = 20;

fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            scope.spawn(move || {
                let stream = TcpStream::connect(address).expect("the server listens");
                ask(stream, number);
            });
        }
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().expect("a client connects");
            scope.spawn(move || answer(stream));
        }
    });
}

fn ask(mut stream: TcpStream, number: usize) {
    for request in 0..REQUESTS {
        let text = format!("{{\"user\":{number},\"items\":[{request},1,2,3]}}");
        send(&mut stream, text.as_bytes());
        black_box(receive(&mut stream).expect("the server answers"));
    }
}

/// Until the client hangs up.
fn answer(mut stream: TcpStream) {
    while let Some(request) = receive(&mut stream) {
        let request: Value = serde_json::from_slice(&request).expect("clients send JSON");
        let items: Vec<String> = (0..50).map(|item| format!("item {item}")).collect();
        let body = serde_json::json!({ "for": request["user"], "items": items });
        send(&mut stream, body.to_string().as_bytes());
    }
}

fn send(stream: &mut TcpStream, text: &[u8]) {
    let mut message = (text.len() as u32).to_le_bytes().to_vec();
    message.extend_from_slice(text);
    stream.write_all(&message).expect("the other end reads");
}

fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut text = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut text).ok()?;
    Some(text)
}
