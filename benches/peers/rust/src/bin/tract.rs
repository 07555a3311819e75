//! Runs tract behind the protocol of `compare.py`. tract does not load an export with variable lengths, so this program makes a
//! model for each shape at its first request. That time is not measured.

use std::collections::HashMap;

use tract_onnx::prelude::*;

fn main() -> TractResult<()> {
    let (dir, _) = peers::arguments();
    let mut models = HashMap::new();
    peers::serve(|batch| {
        let (ids, mask, longest) = peers::padded(batch);
        let shape = [batch.len(), longest];
        let model = models
            .entry(shape)
            .or_insert_with(|| load(&dir, shape).expect("a model"));
        let types = vec![0; ids.len()];
        let tensor = |numbers| -> Tensor {
            tract_ndarray::Array2::from_shape_vec(shape, numbers)
                .expect("a matrix")
                .into()
        };
        let inputs = tvec!(
            tensor(ids).into(),
            tensor(mask).into(),
            tensor(types).into()
        );
        let rows = model.run(inputs).expect("rows");
        let view = rows[0].to_plain_array_view::<f32>().expect("floats");
        view.iter().take(4).copied().collect()
    });
    Ok(())
}

fn load(dir: &str, shape: [usize; 2]) -> TractResult<std::sync::Arc<TypedRunnableModel>> {
    let mut model = tract_onnx::onnx().model_for_path(format!("{dir}.onnx"))?;
    for input in 0..3 {
        model = model.with_input_fact(input, i64::fact(shape).into())?;
    }
    model.into_optimized()?.into_runnable()
}
