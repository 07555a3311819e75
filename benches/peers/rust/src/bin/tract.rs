use tract_onnx::prelude::*;

fn main() -> TractResult<()> {
    let (dir, _) = peers::arguments();
    let model = tract_onnx::onnx()
        .model_for_path(format!("{dir}.onnx"))?
        .into_optimized()?
        .into_runnable()?;
    peers::serve(|batch| {
        let (ids, mask, longest) = peers::padded(batch);
        let types = vec![0; ids.len()];
        let tensor = |numbers| -> Tensor {
            tract_ndarray::Array2::from_shape_vec((batch.len(), longest), numbers)
                .expect("a matrix")
                .into()
        };
        let inputs = tvec!(tensor(ids).into(), tensor(mask).into(), tensor(types).into());
        let rows = model.run(inputs).expect("rows");
        let view = rows[0].to_plain_array_view::<f32>().expect("floats");
        view.iter().take(4).copied().collect()
    });
    Ok(())
}
