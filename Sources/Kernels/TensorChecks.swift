// What every device asks of a checkpoint's tensors before it takes them.

extension MatrixSource {
    /// Width of the inputs that this part multiplies.
    var inputs: Int { transposed ? tensor.rows : tensor.columns }
    var outputs: Int { rowOrder?.count ?? (transposed ? tensor.columns : tensor.rows) }
}

extension MatrixSource {
    /// That the tensor is what a matrix of `inputs` needs, and lies within its bytes.
    func check(inputs: Int) throws(DeviceError) {
        try tensor.check()
        guard self.inputs == inputs else {
            throw .badTensor(
                name: tensor.name, reason: "has \(self.inputs) inputs where the matrix has \(inputs)")
        }
        guard outputs > 0, inputs > 0 else { throw .badTensor(name: tensor.name, reason: "is empty") }
        let stored = transposed ? tensor.columns : tensor.rows
        guard rowOrder?.allSatisfy({ (0..<stored).contains($0) }) ?? true else {
            throw .badTensor(name: tensor.name, reason: "row order names rows outside 0..<\(stored)")
        }
    }
}

extension WeightTensor {
    /// That shape, type and bytes agree.
    func check() throws(DeviceError) {
        guard !shape.isEmpty, shape.allSatisfy({ $0 > 0 }) else {
            throw .badTensor(name: name, reason: "shape \(shape)")
        }
        guard columns % type.blockElements == 0 else {
            throw .badTensor(
                name: name, reason: "\(columns) columns are no whole number of \(type.name) blocks")
        }
        guard rows <= Int(Int32.max), columns <= Int(Int32.max) / 2 else {
            throw .badTensor(name: name, reason: "too large")
        }
        guard bytes.count >= rows * rowBytes else {
            throw .badTensor(
                name: name, reason: "has \(bytes.count) bytes where its shape needs \(rows * rowBytes)")
        }
    }
}
