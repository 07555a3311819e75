//! Token of the level: proof that this processor has its instructions. Only this file can make one.

/// Proof that this processor has AVX-512 F, BW, DQ and VL, AVX2 and FMA; also VNNI if `VNNI` and BF16 if `BF16`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<const VNNI: bool, const BF16: bool = false>(());

impl<const VNNI: bool, const BF16: bool> Avx512<VNNI, BF16> {
    /// Returns the token if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        // `vectorize` compiles for VNNI wherever it compiles for BF16.
        const { assert!(VNNI || !BF16, "BF16 comes with VNNI") };
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!VNNI || is_x86_feature_detected!("avx512vnni"))
            && (!BF16 || is_x86_feature_detected!("avx512bf16"));
        has.then_some(Self(()))
    }
}

impl<const BF16: bool> Avx512<true, BF16> {
    /// Returns the token of the level without VNNI, which computes f32 in the same way.
    pub(crate) fn without_vnni(self) -> Avx512<false> {
        Avx512(())
    }
}

impl Avx512<true, true> {
    /// Returns the token of the level without BF16, which computes int8 in the same way.
    pub(crate) fn without_bf16(self) -> Avx512<true> {
        Avx512(())
    }
}
