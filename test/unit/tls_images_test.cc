// SPDX-License-Identifier: Apache-2.0
// Tests that recycled threads get fresh thread-local variables without libc, and by libc once more modules were loaded.
#include "runtime/os/tls_images.h"

#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "in_g.h"
#include "runtime/os/tcb.h"

namespace {

thread_local int number = 42;
thread_local long zero;
alignas(64) thread_local char text[100] = "initial image";

// In the folder of the build, some levels above the program.
std::string PluginPath() {
  char exe[4096];
  const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);
  std::string folder(exe, n > 0 ? static_cast<size_t>(n) : 0);
  while (!folder.empty()) {
    folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
    std::string path = folder + "/test/tls_plugin.so";
    if (access(path.c_str(), R_OK) == 0) return path;
  }
  return "";
}

class TlsImages : public test::PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    g_ = Get();
    ASSERT_NE(g_, nullptr);
  }
  void TearDown() override { test::Put(g_); }

  // The variable of g_ that is the caller's `mine`.
  template <class T>
  T* Of(T* mine) {
    auto own = static_cast<char*>(mn::thread_pointer());
    return reinterpret_cast<T*>(static_cast<char*>(g_->tp) + (reinterpret_cast<char*>(mine) - own));
  }
  void Spoil() {
    *Of(&number) = 7;
    *Of(&zero) = 7;
    memset(Of(&text[0]), 'x', sizeof text);
  }

  mn::G* g_ = nullptr;
};

TEST_F(TlsImages, AreLearntAndRestored) {
  Spoil();
  *Of(&errno) = ERANGE;
  ASSERT_TRUE(mn::tls_images_restore(g_->tp));
  EXPECT_EQ(*Of(&number), 42);
  EXPECT_EQ(*Of(&zero), 0);
  char fresh[sizeof text] = "initial image";
  EXPECT_EQ(memcmp(Of(&text[0]), fresh, sizeof fresh), 0) << "to the last byte";
  EXPECT_EQ(*Of(&errno), ERANGE) << "libc's own variables stay";
}

TEST_F(TlsImages, AreLibcsBusinessOnceAModuleWithVariablesWasLoaded) {
  void* plugin = dlopen(PluginPath().c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(plugin, nullptr) << dlerror();
  Spoil();
  EXPECT_FALSE(mn::tls_images_restore(g_->tp));
  EXPECT_EQ(*Of(&number), 7) << "nothing was done";
  mn::tcb_recycle(g_->tp);
  EXPECT_EQ(*Of(&number), 42);
  EXPECT_EQ(*Of(&zero), 0);
  EXPECT_STREQ(Of(&text[0]), "initial image");
  EXPECT_EQ(dlclose(plugin), 0);
  EXPECT_FALSE(mn::tls_images_restore(g_->tp)) << "its place is taken again unseen";
}

}  // namespace
