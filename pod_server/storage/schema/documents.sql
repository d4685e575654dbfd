-- Solid resources, sealed. Names are looked up by a hash under the scope's own index key.
CREATE TABLE document (
    pod_id BIGINT NOT NULL,
    name_key BLOB NOT NULL,               -- 16 bytes, keyed hash of the path
    parent_key BLOB NOT NULL,             -- 16 bytes, keyed hash of the container's path under the same scope
    scope TEXT NOT NULL,                  -- 'public' | 'own'
    version BIGINT NOT NULL,              -- grows with every change of the pod: never used twice for one name
    modified BIGINT NOT NULL,             -- microseconds since 1970
    size_bytes BIGINT NOT NULL,           -- of the body, before sealing
    sealed_head BLOB NOT NULL,            -- path, media type, container or not
    sealed_body BLOB NOT NULL,            -- the body; of a large binary what finds and opens its file; of a longer document nothing
    binary_name BLOB,                     -- 16 bytes: the large binary's file; NULL where the body lies here
    epoch BIGINT NOT NULL DEFAULT 1,      -- of the scope's key
    PRIMARY KEY (pod_id, name_key)
);
CREATE INDEX document_by_parent ON document (pod_id, parent_key);

-- What was added to documents since they were put, each sealed as it came; of longer documents the beginning too.
CREATE TABLE document_part (
    pod_id BIGINT NOT NULL,
    name_key BLOB NOT NULL,
    version BIGINT NOT NULL,              -- of the document when the part was added
    sealed BLOB NOT NULL,
    PRIMARY KEY (pod_id, name_key, version)
);

-- What the documents of a pod take, as a running sum, and what they may take.
CREATE TABLE storage_use (
    pod_id BIGINT NOT NULL PRIMARY KEY,
    used_bytes BIGINT NOT NULL,           -- bodies before sealing, and 512 bytes a document
    allowed_bytes BIGINT                  -- the pod's own quota; NULL: the host's
);

-- Large binaries on their way in: what they have reserved of the quota, and the file they are written to.
CREATE TABLE upload (
    pod_id BIGINT NOT NULL,
    binary_name BLOB NOT NULL,
    reserved_bytes BIGINT NOT NULL,
    PRIMARY KEY (pod_id, binary_name)
);
