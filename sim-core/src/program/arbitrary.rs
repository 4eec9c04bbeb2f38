//! Random programs for tests: of any shape, mostly not well formed.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn color() -> impl Strategy<Value = Color> {
    (0..Color::MAX).prop_map(|n| Color::new(n).unwrap())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z][a-z0-9_.]{0,6}",
        1 => "\\PC{0,6}",
        1 => prop::sample::select(vec!["", "x", "a0", "//", "\"", "\\", "a\nb", "{", "#1", "\u{2028}", "\r\0"]).prop_map(str::to_owned),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    let any = prop::sample::select(vec![
        Span::one(u32::MAX),
        Span::run(0, u32::MAX),
        Span { start: 1, count: 2, step: u32::MAX - 1 },
        Span { start: u32::MAX - 9, count: 5, step: 2 },
    ]);
    let small = (0u32..9, 1u32..9, 1u32..4).prop_map(|(start, count, step)| Span { start, count, step });
    prop_oneof![1 => any, 9 => small]
}

fn small_or_any() -> impl Strategy<Value = i32> {
    prop_oneof![any::<i32>(), -9i32..9, Just(i32::MIN), Just(i32::MAX)]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0u32..9, Just(u32::MAX)]
}

fn region() -> impl Strategy<Value = Region> {
    let small = (0u32..9, 1u32..9, 1u32..4).prop_map(|(start, count, step)| Span { start, count, step });
    (small.clone(), small).prop_map(|(x, y)| Region { x, y })
}

fn dtype() -> impl Strategy<Value = DType> {
    prop::sample::select(vec![DType::F16, DType::Bf16, DType::F32])
}

fn reg() -> impl Strategy<Value = AddrReg> {
    any::<u8>().prop_map(AddrReg)
}

fn dim() -> impl Strategy<Value = Dim> {
    (count(), small_or_any()).prop_map(|(len, stride)| Dim { len, stride })
}

fn operand() -> impl Strategy<Value = Operand> {
    let ring = prop::option::weighted(0.2, (count(), count()).prop_map(|(start, bytes)| Ring { start, bytes }));
    let mem = (prop::option::of(reg()), small_or_any(), dtype(), vec(dim(), 0..4), ring, any::<bool>());
    prop_oneof![
        mem.prop_map(|(base, offset, dtype, dims, ring, advance)| Operand::Mem(MemRef {
            base,
            offset,
            dtype,
            advance: advance && !dims.is_empty(),
            dims: dims.into(),
            ring
        })),
        (any::<u8>(), dtype()).prop_map(|(n, d)| Operand::Fifo(FifoId(n), d)),
        (color(), dtype()).prop_map(|(c, d)| Operand::Fab(c, d)),
        any::<u8>().prop_map(|n| Operand::Reg(DataReg(n))),
        bits().prop_map(Operand::Imm),
    ]
}

fn bits() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        any::<f32>().prop_map(f32::to_bits),
        prop::sample::select(vec![0.0, -0.0, 1.5, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45])
            .prop_map(f32::to_bits)
    ]
}

fn vec_op() -> impl Strategy<Value = VecOp> {
    let descriptors = prop::sample::select(Descriptors::ALL.to_vec());
    let len = prop_oneof![3 => count().prop_map(|len| (len, None)), 1 => reg().prop_map(|reg| (0, Some(reg)))];
    (prop::sample::select(Op::ALL.to_vec()), len, descriptors, operand(), vec(operand(), 0..4)).prop_map(
        |(op, (len, count), descriptors, dst, src)| VecOp { op, len, count, descriptors, dst, src: src.into() },
    )
}

fn data() -> impl Strategy<Value = DataReg> {
    any::<u8>().prop_map(DataReg)
}

fn int() -> impl Strategy<Value = Int> {
    prop_oneof![reg().prop_map(Int::Reg), small_or_any().prop_map(Int::Const)]
}

fn float() -> impl Strategy<Value = Float> {
    prop_oneof![data().prop_map(Float::Reg), bits().prop_map(Float::Const)]
}

fn cond() -> impl Strategy<Value = Cond> {
    let cmp = || prop::sample::select(Cmp::ALL.to_vec());
    prop_oneof![
        (cmp(), int(), int()).prop_map(|(cmp, a, b)| Cond::Int(cmp, a, b)),
        (cmp(), float(), float()).prop_map(|(cmp, a, b)| Cond::Float(cmp, a, b)),
    ]
}

fn scalar() -> impl Strategy<Value = ScalarOp> {
    let at = || (prop::option::of(reg()), small_or_any()).prop_map(|(base, offset)| Address { base, offset });
    let word = || prop::sample::select(Word::ALL.to_vec());
    let int_op = prop::sample::select(IntOp::ALL.to_vec());
    let float_op = (prop::sample::select(FloatOp::ALL.to_vec()), [float(), float(), float()]);
    let float_op = float_op.prop_map(|(op, mut from)| {
        from[op.sources()..].fill(Float::Const(0));
        (op, from)
    });
    prop_oneof![
        (reg(), int_op, int(), int()).prop_map(|(to, op, a, b)| ScalarOp::Int(to, op, a, b)),
        (data(), float_op).prop_map(|(to, (op, from))| ScalarOp::Float(to, op, from)),
        // `u16` is loaded by the older form.
        (reg(), prop::sample::select(Word::ALL.to_vec()), at()).prop_map(|(to, w, at)| ScalarOp::LoadInt(to, w, at)),
        (word(), at(), reg()).prop_map(|(word, at, from)| ScalarOp::StoreInt(word, at, from)),
        (data(), dtype(), at()).prop_map(|(to, dtype, at)| ScalarOp::LoadFloat(to, dtype, at)),
        (dtype(), at(), data()).prop_map(|(dtype, at, from)| ScalarOp::StoreFloat(dtype, at, from)),
        (data(), reg()).prop_map(|(to, from)| ScalarOp::ToFloat(to, from)),
        (reg(), data()).prop_map(|(to, from)| ScalarOp::ToInt(to, from)),
        (reg(), data()).prop_map(|(to, from)| ScalarOp::ToBits(to, from)),
        (data(), reg()).prop_map(|(to, from)| ScalarOp::OfBits(to, from)),
        at().prop_map(ScalarOp::Timestamp),
    ]
}

fn task_id() -> impl Strategy<Value = TaskId> {
    any::<u8>().prop_map(TaskId)
}

fn addr_op() -> impl Strategy<Value = AddrOp> {
    let (n, m) = (small_or_any, small_or_any);
    prop_oneof![
        (reg(), n()).prop_map(|(r, n)| AddrOp::Set(r, n)),
        (reg(), n()).prop_map(|(r, n)| AddrOp::Add(r, n)),
        (reg(), reg()).prop_map(|(r, o)| AddrOp::Copy(r, o)),
        (reg(), reg()).prop_map(|(r, o)| AddrOp::AddReg(r, o)),
        (reg(), n(), m()).prop_map(|(r, n, m)| AddrOp::Clamp(r, n, m)),
        (reg(), n(), m()).prop_map(|(reg, end, size)| AddrOp::Wrap { reg, end, size }),
        (reg(), prop::option::of(reg()), n()).prop_map(|(reg, base, offset)| AddrOp::Load { reg, base, offset }),
    ]
}

fn control() -> impl Strategy<Value = Control> {
    (vec(prop::sample::select(Command::ALL.to_vec()), 0..5), prop::option::of(any::<u8>()))
        .prop_map(|(commands, task)| Control { commands, task })
}

fn instr() -> impl Strategy<Value = Instr> {
    let then = prop::option::of(prop_oneof![task_id().prop_map(Then::Activate), task_id().prop_map(Then::Unblock)]);
    let priority = || prop::sample::select(Priority::ALL.to_vec());
    let a = (any::<u8>(), priority(), vec_op(), then.clone());
    let sent = (any::<u8>(), priority(), color(), control(), then);
    let leaf = prop_oneof![
        vec_op().prop_map(Instr::Vec),
        a.prop_map(|(thread, priority, op, then)| Instr::Async(Async { thread, priority, op, then })),
        sent.prop_map(|(thread, priority, color, control, then)| {
            Instr::AsyncControl(AsyncControl { thread, priority, color, control, then })
        }),
        any::<u8>().prop_map(Instr::Join),
        addr_op().prop_map(Instr::Addr),
        task_id().prop_map(Instr::Activate),
        task_id().prop_map(Instr::Block),
        task_id().prop_map(Instr::Unblock),
        (color(), control()).prop_map(|(color, c)| Instr::Control(color, c)),
        color().prop_map(Instr::Open),
        scalar().prop_map(Instr::Scalar),
        Just(Instr::Return),
        (color(), int(), int(), int()).prop_map(|(color, start, pass, period)| Instr::Filter {
            color,
            start,
            pass,
            period
        }),
        (color(), int(), any::<bool>()).prop_map(|(color, position, open)| Instr::Turn { color, position, open }),
    ];
    leaf.prop_recursive(5, 12, 3, |inner| {
        let body = move || vec(inner.clone(), 0..3);
        prop_oneof![
            (count(), body()).prop_map(|(count, body)| Instr::Loop { count, body }),
            (reg(), body()).prop_map(|(count, body)| Instr::Repeat { count, body }),
            (cond(), body()).prop_map(|(cond, body)| Instr::While { cond, body }),
            (cond(), body(), body()).prop_map(|(cond, then, otherwise)| Instr::If { cond, then, otherwise }),
        ]
    })
}

fn task() -> impl Strategy<Value = Task> {
    let trigger = prop_oneof![
        Just(Trigger::Local),
        (color(), any::<u8>()).prop_map(|(c, r)| Trigger::Data(c, DataReg(r))),
        any::<u8>().prop_map(Trigger::Control),
        color().prop_map(Trigger::Teardown),
    ];
    (name(), trigger, any::<bool>(), any::<bool>(), vec(instr(), 0..4))
        .prop_map(|(name, trigger, active, blocked, body)| Task { name, trigger, active, blocked, body })
}

fn image() -> impl Strategy<Value = Image> {
    let buffer = (name(), count(), dtype(), count(), vec(bits(), 0..4))
        .prop_map(|(name, addr, dtype, len, init)| Buffer { name, addr, dtype, word: None, len, init });
    let word = prop::sample::select(Word::ALL.to_vec());
    let whole = (name(), count(), word, count(), vec(any::<u32>(), 0..4)).prop_map(|(name, addr, word, len, init)| {
        let init = init.into_iter().map(|bits| word.bits(word.number(bits)).unwrap()).collect();
        Buffer { name, addr, dtype: word.as_wide(), word: Some(word), len, init }
    });
    let buffer = prop_oneof![3 => buffer, 1 => whole];
    let bound = || vec((any::<u8>(), color()), 0..3);
    let fifo = (name(), count(), dtype(), count()).prop_map(|(name, addr, dtype, len)| Fifo { name, addr, dtype, len });
    (name(), bound(), bound(), vec(buffer, 0..3), vec(fifo, 0..2), vec(task(), 0..3)).prop_map(
        |(name, inputs, outputs, buffers, fifos, tasks)| Image { name, inputs, outputs, buffers, fifos, tasks },
    )
}

fn placement() -> impl Strategy<Value = Placement> {
    let param = (reg(), small_or_any(), small_or_any(), small_or_any(), count(), count())
        .prop_map(|(reg, base, dx, dy, mod_x, mod_y)| Param { reg, base, dx, dy, mod_x, mod_y });
    (region(), prop_oneof![9 => 0u32..3, 1 => any::<u32>()], vec(param, 0..3))
        .prop_map(|(region, image, params)| Placement { region, image, params })
}

fn dirs() -> impl Strategy<Value = DirSet> {
    vec(prop::sample::select(Dir::ALL.to_vec()), 0..4).prop_map(|d| DirSet::of(&d))
}

fn edge() -> impl Strategy<Value = EdgeStream> {
    let flow = prop_oneof![Just(Flow::In), Just(Flow::Out)];
    let side = prop::sample::select(Dir::ALL.to_vec());
    (name(), flow, side, span(), color(), any::<u64>(), count(), count()).prop_map(
        |(name, flow, side, ports, color, wavelets, interval, fanout)| EdgeStream {
            name,
            flow,
            side,
            ports,
            color,
            wavelets,
            interval,
            fanout,
        },
    )
}

fn switch() -> impl Strategy<Value = Switch> {
    let position = (prop::option::of(prop::sample::select(Dir::ALL.to_vec())), prop::option::of(dirs()));
    let positions = vec(position.prop_map(|(rx, tx)| Position { rx, tx }), 0..4);
    (color(), region(), positions, any::<bool>(), prop::sample::select(Pop::ALL.to_vec()))
        .prop_map(|(color, region, positions, ring, pop)| Switch { color, region, positions, ring, pop })
}

fn filter() -> impl Strategy<Value = Filter> {
    (color(), region(), count(), small_or_any(), small_or_any(), count(), count())
        .prop_map(|(color, region, start, dx, dy, period, pass)| Filter { color, region, start, dx, dy, period, pass })
}

/// Any program that has a text form.
pub(crate) fn program() -> impl Strategy<Value = Program> {
    let grid = prop::option::of((count(), count()).prop_map(|(width, height)| Grid { width, height }));
    let route = (color(), region(), prop::sample::select(Dir::ALL.to_vec()), dirs())
        .prop_map(|(color, region, rx, tx)| Route { color, region, rx, tx });
    let special = (vec(switch(), 0..2), vec(filter(), 0..2));
    (name(), grid, vec(image(), 0..3), vec(placement(), 0..3), vec(route, 0..4), special, vec(edge(), 0..3)).prop_map(
        |(name, grid, images, placements, routes, (switches, filters), edges)| Program {
            name,
            grid,
            images,
            placements,
            routes,
            switches,
            filters,
            edges,
        },
    )
}
