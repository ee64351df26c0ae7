//! How a frame's caller is found: the rules that a program's unwind tables (`.eh_frame`) have for each of its
//! instructions. Most are two or three numbers, which are kept for the addresses met last.

use super::super::modules::{Loaded, Modules};
use super::machine::{self, FP, RETURN, SP};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, Encoding, EndianSlice, Evaluation,
    EvaluationResult, EvaluationStorage, LittleEndian, Piece, Reader, Register, RegisterRule,
    UnwindContext, UnwindContextStorage, UnwindExpression, UnwindSection, UnwindTableRow, Value,
};
use goheap_allocator::os;
use goheap_allocator::sample::Registers;

/// Rules that are kept, as a power of two.
const KEPT_BITS: u32 = 9;

/// How a frame's caller is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// There is none.
    End,
    /// By numbers.
    Plain(Plain),
    /// By what [`Tables::evaluate`] finds each time.
    Complex,
    /// No table has this instruction.
    Unknown,
}

/// What nearly all rules are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// The frame's end is found from the frame pointer, not the stack pointer.
    pub by_fp: bool,
    /// … and lies so far above it.
    pub end: i32,
    /// Where the return address is, from the frame's end.
    pub returns: i32,
    /// Where the caller's frame pointer is, from the frame's end, if it is not in its register still.
    pub fp: Option<i32>,
}

/// A caller, as [`Tables::evaluate`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its registers.
    pub registers: Registers,
    /// A signal interrupted it before this instruction, rather than that it called.
    pub interrupted: bool,
    /// What was in the register that calls leave return addresses in, where there is one and that is known.
    pub link: Option<usize>,
}

type Bytes = EndianSlice<'static, LittleEndian>;

/// What reading a table takes, without allocating.
struct Room;

impl UnwindContextStorage<usize> for Room {
    type Rules = [(Register, RegisterRule<usize>); 64];
    type Stack = [UnwindTableRow<usize, Self>; 4];
}

impl<R: Reader> EvaluationStorage<R> for Room {
    type Stack = [Value; 16];
    type ExpressionStack = [(R, R); 1];
    type Result = [Piece<R>; 1];
}

/// The unwind tables of the program and its libraries.
pub struct Tables {
    /// These.
    pub modules: Modules,
    context: UnwindContext<usize, Room>,
    kept: [(usize, Rule); 1 << KEPT_BITS],
}

/// What a table says of one instruction.
struct Row<'a> {
    frames: EhFrame<Bytes>,
    row: &'a UnwindTableRow<usize, Room>,
    encoding: Encoding,
    of_signal: bool,
}

impl Tables {
    /// Those of what is loaded now. Allocates.
    pub fn now() -> Self {
        Self {
            modules: Modules::now(),
            context: UnwindContext::new_in(),
            kept: [(0, Rule::Unknown); 1 << KEPT_BITS],
        }
    }

    /// The rule for the instruction at `pc`, if it is known already.
    #[inline]
    pub fn kept(&self, pc: usize) -> Option<Rule> {
        let (of, rule) = self.kept[place(pc)];
        (of == pc).then_some(rule)
    }

    /// The rule for the instruction at `pc`; `None` if no module has that. Takes some ten KiB of stack.
    pub fn find(&mut self, pc: usize) -> Option<Rule> {
        if machine::returns_from_signal(pc.wrapping_add(1)) {
            return Some(Rule::Complex);
        }
        let module = self.modules.at(pc)?;
        if !is_loaded(module) {
            return None;
        }
        let row = row(module, &mut self.context, pc);
        let rule = row.map_or(Rule::Unknown, |row| row.rule());
        self.kept[place(pc)] = (pc, rule);
        Some(rule)
    }

    /// The caller of the frame whose registers these are, by a rule that is not [plain](Plain). `link` is as in [`Caller`]. `read`
    /// gets words of the stack. `None`: it is not to be found. Takes some ten KiB of stack.
    pub fn evaluate(
        &mut self,
        pc: usize,
        registers: Registers,
        link: Option<usize>,
        read: &mut dyn FnMut(usize) -> Option<usize>,
    ) -> Option<Caller> {
        if machine::returns_from_signal(pc.wrapping_add(1)) {
            return machine::interrupted(registers.sp, read);
        }
        let module = self.modules.at(pc)?;
        row(module, &mut self.context, pc)?.evaluate(registers, link, read)
    }
}

fn place(pc: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    ((pc as u64).wrapping_mul(GOLDEN) >> (64 - KEPT_BITS)) as usize
}

/// What the module's table says of the instruction at `pc`.
fn row<'a>(
    module: &Loaded,
    context: &'a mut UnwindContext<usize, Room>,
    pc: usize,
) -> Option<Row<'a>> {
    let table = module.unwind_table.clone()?;
    let end = module.unwind_end.max(table.end);
    if !(module.memory.contains(&table.start) && end <= module.memory.end) {
        return None;
    }
    let bytes = |from: usize, to: usize| {
        // SAFETY: memory of a module that is loaded, as was seen when it was first asked for.
        let bytes = unsafe { core::slice::from_raw_parts(from as *const u8, to - from) };
        EndianSlice::new(bytes, LittleEndian)
    };
    let bases = BaseAddresses::default()
        .set_eh_frame_hdr(table.start as u64)
        .set_text(module.code.start as u64);
    let header = EhFrameHdr::from(bytes(table.start, table.end));
    let header = header.parse(&bases, size_of::<usize>() as u8).ok()?;
    let from = header.eh_frame_ptr().direct().ok()? as usize;
    if !(module.memory.contains(&from) && from < end) {
        return None;
    }
    let bases = bases.set_eh_frame(from as u64);
    let mut frames = EhFrame::from(bytes(from, end));
    frames.set_vendor(machine::VENDOR);
    let address = pc as u64;
    let entry = header
        .table()?
        .fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset)
        .ok()?;
    let row = entry.unwind_info_for_address(&frames, &bases, context, address);
    Some(Row {
        frames,
        row: row.ok()?,
        encoding: entry.cie().encoding(),
        of_signal: entry.is_signal_trampoline(),
    })
}

/// Whether a module's unwind tables are still there. It cannot go while a stack leads through it, but a stale
/// word on a stack may look like an address of one that is gone.
fn is_loaded(module: &Loaded) -> bool {
    let readable = |address: usize| os::is_readable(address & !7);
    module
        .unwind_table
        .as_ref()
        .is_none_or(|table| readable(table.start) && readable(module.unwind_end.saturating_sub(8)))
}

impl Row<'_> {
    fn rule(&self) -> Rule {
        match self.row.register(RETURN) {
            // A function that calls none, or has not saved it yet: it may have been interrupted there.
            None | Some(RegisterRule::SameValue) if machine::LINKS => Rule::Complex,
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => Rule::End,
            Some(RegisterRule::Offset(returns)) if !self.of_signal => {
                self.plain(returns).map_or(Rule::Complex, Rule::Plain)
            }
            Some(_) => Rule::Complex,
        }
    }

    fn plain(&self, returns: i64) -> Option<Plain> {
        let CfaRule::RegisterAndOffset { register, offset } = *self.row.cfa() else {
            return None;
        };
        if ![SP, FP].contains(&register) {
            return None;
        }
        let fp = match self.row.register(FP) {
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => None,
            Some(RegisterRule::Offset(at)) => Some(at.try_into().ok()?),
            Some(_) => return None,
        };
        Some(Plain {
            by_fp: register == FP,
            end: offset.try_into().ok()?,
            returns: returns.try_into().ok()?,
            fp,
        })
    }

    fn evaluate(
        &self,
        registers: Registers,
        link: Option<usize>,
        read: &mut dyn FnMut(usize) -> Option<usize>,
    ) -> Option<Caller> {
        let end = match *self.row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                value_of(register, registers)?.wrapping_add_signed(offset as isize)
            }
            CfaRule::Expression(expression) => self.run(expression, None, registers, read)?,
        };
        let mut value = |register, now: Option<usize>| match self.row.register(register) {
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => now,
            Some(RegisterRule::Offset(at)) => read(end.wrapping_add_signed(at as isize)),
            Some(RegisterRule::ValOffset(by)) => Some(end.wrapping_add_signed(by as isize)),
            Some(RegisterRule::Expression(expression)) => {
                let at = self.run(expression, Some(end), registers, read)?;
                read(at)
            }
            Some(RegisterRule::ValExpression(expression)) => {
                self.run(expression, Some(end), registers, read)
            }
            Some(RegisterRule::Register(other)) => value_of(other, registers),
            Some(_) => None,
        };
        Some(Caller {
            registers: Registers {
                pc: value(RETURN, link)?,
                sp: end,
                fp: value(FP, Some(registers.fp))?,
            },
            interrupted: self.of_signal,
            link: None,
        })
    }

    fn run(
        &self,
        expression: UnwindExpression<usize>,
        first: Option<usize>,
        registers: Registers,
        read: &mut dyn FnMut(usize) -> Option<usize>,
    ) -> Option<usize> {
        let code = expression.get(&self.frames).ok()?.0;
        let mut evaluation = Evaluation::<Bytes, Room>::new_in(code, self.encoding);
        evaluation.set_max_iterations(100);
        if let Some(first) = first {
            evaluation.set_initial_value(first as u64);
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = value_of(register, registers)? as u64;
                    evaluation.resume_with_register(Value::Generic(value))
                }
                EvaluationResult::RequiresMemory {
                    address, size: 8, ..
                } => {
                    let value = read(address as usize)? as u64;
                    evaluation.resume_with_memory(Value::Generic(value))
                }
                _ => return None,
            }
            .ok()?;
        }
        match evaluation.as_result() {
            [
                Piece {
                    location: gimli::Location::Address { address },
                    ..
                },
            ] => Some(*address as usize),
            _ => None,
        }
    }
}

fn value_of(register: Register, registers: Registers) -> Option<usize> {
    match register {
        SP => Some(registers.sp),
        FP => Some(registers.fp),
        RETURN => Some(registers.pc),
        _ => None,
    }
}
