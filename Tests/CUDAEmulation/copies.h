// Asynchronous copies of one thread: they land when their group is waited for, and read as NaN until then.
#pragma once
#include <string.h>

#include <vector>

namespace emulation {

class Copies {
public:
    void start(void *target, const void *source, unsigned bytes, unsigned zeros) {
        memset(target, 0xff, bytes + zeros);
        started.push_back({target, source, bytes, zeros});
    }

    void commit() {
        groups.push_back(started);
        started.clear();
    }

    void wait(unsigned groups_left) {
        while (groups.size() > groups_left) {
            for (const Copy &copy : groups.front()) {
                if (copy.bytes != 0) memcpy(copy.target, copy.source, copy.bytes);
                memset(static_cast<char *>(copy.target) + copy.bytes, 0, copy.zeros);
            }
            groups.erase(groups.begin());
        }
    }

private:
    struct Copy {
        void *target;
        const void *source;
        unsigned bytes, zeros;
    };

    std::vector<Copy> started;
    std::vector<std::vector<Copy>> groups;
};

}  // namespace emulation
