use super::*;
use safetensors::tensor::TensorView;

type Tensor<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

fn safetensors(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            TensorView::new(*dtype, shape.to_vec(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn tensor(checkpoint: &Checkpoint, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    checkpoint.find(name, shape)?.to_vec()
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint> {
    let files = ModelFiles::new().with(SINGLE_FILE, bytes);
    Checkpoint::open(&files, "", TensorNames::BERT, Access::Read)
}

#[test]
fn every_type_is_read() {
    let numbers = [1.5f32, -2.0, 0.25];
    let half = |x: &f32| half::f16::from_f32(*x).to_le_bytes();
    let brain = |x: &f32| half::bf16::from_f32(*x).to_le_bytes();
    let halves = numbers.iter().flat_map(half).collect();
    let brains = numbers.iter().flat_map(brain).collect();
    let doubles = numbers.map(|x| f64::from(x).to_le_bytes());
    let whole: Vec<u8> = [3i64, -4, 5].iter().flat_map(|x| x.to_le_bytes()).collect();
    let checkpoint = open(safetensors(&[
        ("f32", Dtype::F32, &[3], floats(&numbers)),
        ("f16", Dtype::F16, &[3], halves),
        ("bf16", Dtype::BF16, &[3], brains),
        ("f64", Dtype::F64, &[3], doubles.concat()),
        ("i64", Dtype::I64, &[3], whole),
        ("u8", Dtype::U8, &[3], vec![1, 2, 3]),
    ]))
    .unwrap();
    for name in ["f32", "f16", "bf16", "f64"] {
        assert_eq!(tensor(&checkpoint, name, &[3]).unwrap(), numbers, "{name}");
    }
    let whole = tensor(&checkpoint, "i64", &[3]).unwrap();
    assert_eq!(whole, [3.0, -4.0, 5.0]);
    let error = tensor(&checkpoint, "u8", &[3]).unwrap_err();
    assert!(matches!(error, Error::WeightType { name, found } if name == "u8" && found == "U8"));
    assert_eq!(checkpoint.parameters(), 15); // integers are not parameters
}

#[test]
fn errors_name_the_tensor_and_both_shapes() {
    let checkpoint = open(safetensors(&[
        ("bert.a.weight", Dtype::F32, &[2, 1], floats(&[1.0, 2.0])),
        ("bert.b.weight", Dtype::F32, &[1], floats(&[f32::NAN])),
    ]))
    .unwrap();
    assert_eq!(
        tensor(&checkpoint, "a.weight", &[2, 1]).unwrap(),
        [1.0, 2.0]
    );
    let error = tensor(&checkpoint, "a.weight", &[1, 2])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "weight bert.a.weight has shape [2, 1], expected [1, 2]"
    );
    let error = tensor(&checkpoint, "a.bias", &[2]).unwrap_err().to_string();
    assert_eq!(error, "weight a.bias is missing");
    let error = tensor(&checkpoint, "b.weight", &[1])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "weight bert.b.weight is not finite");
}

#[test]
fn a_name_with_and_without_prefix_is_there_twice() {
    let twice = safetensors(&[
        ("a.weight", Dtype::F32, &[1], floats(&[1.0])),
        ("bert.a.weight", Dtype::F32, &[1], floats(&[1.0])),
    ]);
    assert!(matches!(open(twice), Err(Error::WeightTwice { .. })));
}

#[test]
fn shards_are_found_through_their_index_and_stay_inside() {
    let index = |shard: &str| {
        format!(r#"{{"weight_map": {{"a": "x/1.safetensors", "b": {shard:?}}}}}"#).into_bytes()
    };
    let files = ModelFiles::new()
        .with(
            "m/x/1.safetensors",
            safetensors(&[("a", Dtype::F32, &[1], floats(&[1.0]))]),
        )
        .with(
            "m/2.safetensors",
            safetensors(&[("b", Dtype::F32, &[1], floats(&[2.0]))]),
        );
    let open = |files: ModelFiles| Checkpoint::open(&files, "m", TensorNames::BERT, Access::Read);
    let index_file = "m/model.safetensors.index.json";
    let checkpoint = open(files.clone().with(index_file, index("2.safetensors"))).unwrap();
    assert_eq!(tensor(&checkpoint, "b", &[1]).unwrap(), [2.0]);
    for shard in ["../2.safetensors", "/etc/passwd", "x/../../m/2.safetensors"] {
        let error = open(files.clone().with(index_file, index(shard))).unwrap_err();
        assert!(matches!(error, Error::PathOutside { path, .. } if path == shard));
    }
    let error = open(files.clone().with(index_file, index("3.safetensors"))).unwrap_err();
    assert!(matches!(error, Error::FileMissing { .. }), "{error}");
    assert!(matches!(open(files), Err(Error::FileMissing { .. })));
}

#[test]
fn every_truncation_and_every_lying_length_is_refused() {
    let whole = safetensors(&[("a", Dtype::F32, &[4], floats(&[1.0, 2.0, 3.0, 4.0]))]);
    for len in 0..whole.len() {
        let error = open(whole[..len].to_vec()).unwrap_err();
        assert!(matches!(error, Error::Safetensors { .. }), "{len}: {error}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(open(longer).is_err());
    for length in [0u64, 1, 7, 1 << 20, 1 << 40, u64::MAX - 8, u64::MAX] {
        let mut lying = whole.clone();
        lying[..8].copy_from_slice(&length.to_le_bytes());
        assert!(
            matches!(open(lying), Err(Error::Safetensors { .. })),
            "{length}"
        );
    }
}

#[test]
fn a_flipped_bit_in_the_header_is_refused_or_harmless() {
    let numbers = [1.0, 2.0, 3.0, 4.0];
    let whole = safetensors(&[("abc", Dtype::F32, &[2, 2], floats(&numbers))]);
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for bit in 0..header * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // It is refused on opening or, with another name or shape, on reading; or the parameters are right.
        if let Ok(checkpoint) = open(damaged)
            && let Ok(read) = tensor(&checkpoint, "abc", &[2, 2])
        {
            assert_eq!(read, numbers, "bit {bit}");
        }
    }
}

#[test]
fn a_file_on_disk_reads_as_in_memory() {
    let whole = safetensors(&[
        ("a", Dtype::F32, &[3], floats(&[1.0, 2.0, 3.0])),
        (
            "b",
            Dtype::F16,
            &[1],
            half::f16::from_f32(0.5).to_le_bytes().to_vec(),
        ),
    ]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(SINGLE_FILE), &whole).unwrap();
    let check = |files: &ModelFiles, access| {
        let checkpoint = Checkpoint::open(files, "", TensorNames::BERT, access).unwrap();
        assert_eq!(tensor(&checkpoint, "a", &[3]).unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(tensor(&checkpoint, "b", &[1]).unwrap(), [0.5]);
        assert_eq!(checkpoint.byte_len(), whole.len());
        assert_eq!(checkpoint.storage_dtype(), "F32");
    };
    check(&ModelFiles::folder(dir.path()), Access::Read);
    check(
        &ModelFiles::new().with(SINGLE_FILE, whole.clone()),
        Access::Read,
    );
    #[cfg(feature = "mmap")]
    {
        #[allow(unsafe_code, reason = "the promise that mapping requires")]
        // SAFETY: the file is in a temporary folder that only this test uses, and the test does not change it.
        let unchanging = unsafe { crate::weights::Unchanging::promised() };
        check(&ModelFiles::folder(dir.path()), Access::Map(unchanging));
    }
}

/// Returns which of these tensors is refused after the tensors of `used` were read by an encoder of two layers.
fn refused(family: TensorNames, names: &[&str], used: &[&str]) -> Option<String> {
    let bytes = 1f32.to_le_bytes();
    let view = |name: &&str| {
        let view = TensorView::new(Dtype::F32, vec![1], &bytes).unwrap();
        (name.to_string(), view)
    };
    let file = safetensors::serialize(names.iter().map(view), None).unwrap();
    let files = ModelFiles::new().with("model.safetensors", file);
    let checkpoint = Checkpoint::open(&files, "", family, Access::Read).unwrap();
    for name in used {
        checkpoint.find(name, &[1]).unwrap();
    }
    checkpoint.ignore("encoder.layer.0.known");
    match checkpoint.reject_unexpected(2) {
        Ok(()) => None,
        Err(Error::WeightUnexpected { name, .. }) => Some(name),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn other_heads_are_accepted() {
    let names = [
        "bert.embeddings.LayerNorm.weight",
        "bert.embeddings.position_ids",
        "bert.pooler.dense.weight",
        "bert.encoder.layer.0.known.weight",
        "cls.predictions.bias",
        "cls.predictions.decoder.weight",
    ];
    let used = ["embeddings.LayerNorm.weight", "cls.predictions.bias"];
    assert_eq!(refused(TensorNames::BERT, &names, &used), None);
    assert_eq!(refused(TensorNames::BERT, &names, &[]), None);
}

#[test]
fn the_rest_of_a_module_and_of_the_layers_is_refused() {
    let names = ["bert.a.b.weight", "bert.a.b.bIas"];
    let refuse = |names: &[&str], used: &[&str]| refused(TensorNames::BERT, names, used);
    assert_eq!(
        refuse(&names, &["a.b.weight"]).as_deref(),
        Some("bert.a.b.bIas")
    );
    for name in [
        "bert.encoder.layer.2.output.dense.weight",
        "encoder.layer.1.ffn.3.output.dense.weight",
        "encoder.layer.x",
    ] {
        assert_eq!(refuse(&[name], &[]).as_deref(), Some(name));
    }
    let name = "distilbert.transformer.layer.2.ffn.lin1.weight";
    let refused = refused(TensorNames::DISTILBERT, &[name], &[]);
    assert_eq!(refused.as_deref(), Some(name));
}
