import Foundation

// Python's arithmetic. Whole numbers have 64 bits; beyond them it fails rather than wrap or round.
extension TemplateInterpreter {
    typealias Operation = TemplateExpression.Arithmetic

    func calculate(
        _ a: TemplateValue, _ operation: Operation, _ b: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        if let x = a.index, let y = b.index { return try calculate(x, operation, y) }
        if let x = a.number, let y = b.number { return .float(try calculate(x, operation, y)) }
        switch (a, operation, b) {
        case (.undefined(let undefined), _, _): throw undefined.error
        case (.text(let format), .modulo, _):
            let text = try TemplatePercentFormat.text(format, b, budget)
            return .text(text)
        case (_, _, .undefined(let undefined)): throw undefined.error
        case (.text(let x), .add, .text(let y)):
            try budget.charge(x.byteCount + y.byteCount)
            return .text(x.adding(y))
        case (.list(let x), .add, .list(let y)):
            try budget.charge(values: x.values.count + y.values.count)
            return try budget.list(x.values + y.values)
        case (.tuple(let x), .add, .tuple(let y)):
            try budget.charge(values: x.values.count + y.values.count)
            return try budget.tuple(x.values + y.values)
        case (.text(let text), .add, _) where text.isMarkup: throw unsupported(a, operation, b)
        case (.text, .add, _), (.list, .add, _), (.tuple, .add, _):
            throw TemplateError(
                .runtime,
                "can only concatenate \(a.typeName) (not \"\(b.typeName)\") to \(a.typeName)")
        case (.text, .multiply, _), (.list, .multiply, _), (.tuple, .multiply, _):
            return try multiply(a, by: b)
        case (_, .multiply, .text), (_, .multiply, .list), (_, .multiply, .tuple):
            return try multiply(b, by: a)
        default: throw unsupported(a, operation, b)
        }
    }

    private func unsupported(_ a: TemplateValue, _ operation: Operation, _ b: TemplateValue) -> TemplateError
    {
        let name = operation == .power ? "** or pow()" : operation.rawValue
        return TemplateError(
            .runtime, "unsupported operand type(s) for \(name): '\(a.typeName)' and '\(b.typeName)'")
    }

    private func multiply(_ sequence: TemplateValue, by factor: TemplateValue) throws(TemplateError)
        -> TemplateValue
    {
        guard let times = factor.index.map({ max($0, 0) }) else {
            throw TemplateError(.runtime, "can't multiply sequence by non-int of type '\(factor.typeName)'")
        }
        let size: Int
        switch sequence {
        case .text(let text): size = text.byteCount
        case .list(let items), .tuple(let items): size = items.values.count * 24
        default: size = 0
        }
        if size == 0 { return sequence }
        let (total, overflow) = size.multipliedReportingOverflow(by: times)
        try budget.charge(overflow ? .max : total)
        switch sequence {
        case .text(let text): return .text(text.repeated(times))
        case .list(let items):
            return try budget.list(Array(repeating: items.values, count: times).flatMap(\.self))
        case .tuple(let items):
            return try budget.tuple(Array(repeating: items.values, count: times).flatMap(\.self))
        default: return sequence
        }
    }

    private func calculate(_ x: Int, _ operation: Operation, _ y: Int) throws(TemplateError) -> TemplateValue
    {
        let result: (Int, overflow: Bool)
        switch operation {
        case .add: result = x.addingReportingOverflow(y)
        case .subtract: result = x.subtractingReportingOverflow(y)
        case .multiply: result = x.multipliedReportingOverflow(by: y)
        case .divide:
            guard y != 0 else { throw TemplateError(.runtime, "division by zero") }
            return .float(Double(x) / Double(y))
        case .floorDivide:
            guard y != 0 else { throw TemplateError(.runtime, "integer division or modulo by zero") }
            let (quotient, overflow) = x.dividedReportingOverflow(by: y)
            result = (overflow || x % y == 0 || (x < 0) == (y < 0) ? quotient : quotient - 1, overflow)
        case .modulo:
            guard y != 0 else { throw TemplateError(.runtime, "integer modulo by zero") }
            let remainder = x.remainderReportingOverflow(dividingBy: y).partialValue
            result = (remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder, false)
        case .power:
            if y < 0 { return .float(try calculate(Double(x), .power, Double(y))) }
            result = Self.power(x, y)
        }
        if result.overflow {
            throw TemplateError(.unsupported, "an integer beyond 64 bits is not supported")
        }
        return .int(result.0)
    }

    private static func power(_ base: Int, _ exponent: Int) -> (Int, overflow: Bool) {
        if base == 0 || base == 1 { return (exponent == 0 ? 1 : base, false) }
        if base == -1 { return (exponent % 2 == 0 ? 1 : -1, false) }
        if exponent > 63 { return (0, true) }
        var product = 1
        for _ in 0..<exponent {
            let (next, overflow) = product.multipliedReportingOverflow(by: base)
            if overflow { return (0, true) }
            product = next
        }
        return (product, false)
    }

    private func calculate(_ x: Double, _ operation: Operation, _ y: Double) throws(TemplateError) -> Double {
        switch operation {
        case .add: return x + y
        case .subtract: return x - y
        case .multiply: return x * y
        case .divide:
            guard y != 0 else { throw TemplateError(.runtime, "float division by zero") }
            return x / y
        case .floorDivide:
            guard y != 0 else { throw TemplateError(.runtime, "float floor division by zero") }
            let remainder = Self.modulo(x, y)
            return ((x - remainder) / y).rounded(.toNearestOrEven)
        case .modulo:
            guard y != 0 else { throw TemplateError(.runtime, "float modulo") }
            return Self.modulo(x, y)
        case .power:
            if x == 0, y < 0 {
                throw TemplateError(.runtime, "0.0 cannot be raised to a negative power")
            }
            if x < 0, y != y.rounded(), y.isFinite {
                throw TemplateError(.unsupported, "a complex number is not supported")
            }
            let power = pow(x, y)
            if power.isInfinite, x.isFinite, y.isFinite {
                throw TemplateError(.runtime, "(34, 'Numerical result out of range')")
            }
            return power
        }
    }

    /// With the sign of the divisor.
    private static func modulo(_ x: Double, _ y: Double) -> Double {
        let remainder = fmod(x, y)
        if remainder == 0 { return y < 0 ? -0.0 : 0.0 }
        return (remainder < 0) != (y < 0) ? remainder + y : remainder
    }

    func negative(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch value {
        case .undefined(let undefined): throw undefined.error
        case .float(let number): return .float(-number)
        default:
            guard let number = value.index else { throw badSign("-", value) }
            return try calculate(0, .subtract, number)
        }
    }

    func positive(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch value {
        case .undefined(let undefined): throw undefined.error
        case .float: return value
        default:
            guard let number = value.index else { throw badSign("+", value) }
            return .int(number)
        }
    }

    private func badSign(_ sign: String, _ value: TemplateValue) -> TemplateError {
        TemplateError(.runtime, "bad operand type for unary \(sign): '\(value.typeName)'")
    }
}
