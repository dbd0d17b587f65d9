// What every device asks of a checkpoint's tensors before it takes them.

extension MatrixSource {
    var name: String {
        switch weights {
        case .tensor(let tensor): tensor.name
        case .groups(let groups): groups.name
        }
    }

    /// Width of the inputs that this part multiplies.
    var inputs: Int {
        switch weights {
        case .tensor(let tensor): transposed ? tensor.rows : tensor.columns
        case .groups(let groups): groups.inputs
        }
    }

    var outputs: Int {
        switch weights {
        case .tensor(let tensor): rowOrder?.count ?? (transposed ? tensor.columns : tensor.rows)
        case .groups(let groups): groups.outputs
        }
    }
}

extension MatrixSource {
    /// That the weights are what a matrix of `inputs` needs, and lie within their bytes.
    func check(inputs: Int) throws(DeviceError) {
        switch weights {
        case .tensor(let tensor):
            try tensor.check()
            let stored = transposed ? tensor.columns : tensor.rows
            guard rowOrder?.allSatisfy({ (0..<stored).contains($0) }) ?? true else {
                throw .badTensor(name: name, reason: "row order names rows outside 0..<\(stored)")
            }
        case .groups(let groups):
            try groups.check()
            guard !transposed, rowOrder == nil else {
                throw .unsupported("weights in groups that are transposed or reordered (\(name))")
            }
        }
        guard self.inputs == inputs else {
            throw .badTensor(name: name, reason: "has \(self.inputs) inputs where the matrix has \(inputs)")
        }
        guard outputs > 0, inputs > 0 else { throw .badTensor(name: name, reason: "is empty") }
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
