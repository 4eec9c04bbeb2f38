//! Control code that is not well formed: the code of each fault.

use super::*;

/// What is wrong in control code, by code: the code of each line of a body that is faulty.
#[test]
fn control_code_is_checked() {
    let found = |body: &str| -> Vec<String> {
        let text = format!(
            "program p\ngrid 1x1\nimage i {{\nout q0 c0\ntask t local active {{\n{body}\nvec mov 1: fab c0 f32 <- #1\n}}\n}}\nplace i x=0 y=0\nroute c0 x=0 y=0 ramp -> east\nedge out e east y=0 c0 wavelets 1 every 1 fanout 1\n"
        );
        verify(&crate::program::parse(&text, "t").unwrap(), &crate::arch::cs2::cs2())
            .iter()
            .map(|d| d.code.clone())
            .collect()
    };
    for (code, body) in [
        ("R016", "a16 = add a1 1"),
        ("R016", "r1 = mul r17 #1"),
        ("R016", "if lt a1 a20 {\na1 = 1\n}"),
        ("R016", "loop a16 {\na1 = 1\n}"),
        ("R016", "filter c0 start a16 pass 1 of 2"),
        ("R016", "vec mov a16: f32@0[..] <- #1"),
        ("R017", "vec mov 4: f32@64[4]+ <- #1"),
        ("R017", "vec mov 4: f32@a1[2,2]+ <- #1"),
        ("R017", "vec mov 4: f32@a1[4]+ <- f32@a1[4]+"),
        ("R018", "vec mov a1: f32@64[4] <- #1"),
        ("R018", "vec mov 4: f32@64[..] <- #1"),
        ("R018", "vec mov a1: f32@64[..,..] <- #1"),
        ("R019", "if lt a1 2 {\n}"),
        ("R019", "while lt a1 2 {\n}"),
        ("R021", "a1 = load i32 49150"),
        ("R021", "timestamp 49147"),
        ("R028", "turn c0 1"),
        ("R029", "filter c1 start 0 pass 1 of 2"),
    ] {
        assert_eq!(found(body), [code], "{body}");
    }
    assert_eq!(found("filter c0 start 0 pass 1 of 2\ntimestamp 49146\nvec mov a1: f32@a2[..:3,2] <- #1"), [""; 0]);
}
