// Where a run is found: its page, and under /api the same address for programs. A tenant's run stands below its tenant.

/** @param {{id: string, tenant?: string | null}} run */
export const pagePath = ({ id, tenant = null }) => `${tenant ? tenantPath(tenant) : ""}/instances/${encodeURIComponent(id)}`;

/** @param {{id: string, tenant?: string | null}} run */
export const instancePath = (run) => `/api${pagePath(run)}`;

export const tenantPath = (tenant) => `/tenants/${encodeURIComponent(tenant)}`;

/** The name under which this browser remembers something of a run: ids are unique within a tenant only. */
export const nameOf = ({ id, tenant = null }) => (tenant ? `${tenant}/${id}` : id);
