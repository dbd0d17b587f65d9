/// Who a sequence is accounted to. The caller numbers its tenants' names.
package struct TenantID: Hashable, Sendable {
    package let rawValue: Int

    package init(_ rawValue: Int) { self.rawValue = rawValue }
}
